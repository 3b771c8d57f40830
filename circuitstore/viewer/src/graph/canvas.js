// The picture of a graph: three canvases, one for edges, one for nodes and words, one for what is pointed at.
import { Component, createRef } from "preact";
import { html } from "htm/preact";
import { axes } from "./axis.js";
import * as draw from "./draw.js";
import { layout, nodeAt, nextNode } from "./layout.js";
import { Painter } from "./painter.js";
import { dark } from "../theme.js";

const REACH = 12,
  STEP = { ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] };
const CLOSEST = 30;

export class Picture extends Component {
  box = createRef();
  edgesRef = createRef();
  nodesRef = createRef();
  overRef = createRef();
  view = { k: 1, x: 0, y: 0 };
  hovered = -1;

  componentDidMount() {
    this.painter = new Painter((result) => this.painted(result));
    this.observer = new ResizeObserver(() => this.resized());
    this.observer.observe(this.box.current);
    this.box.current.addEventListener("wheel", this.wheel, { passive: false });
    this.unsubscribe = dark.subscribe(() => this.width && requestAnimationFrame(() => this.everything()));
    this.resized();
    this.props.onReady?.(this);
  }

  componentWillUnmount() {
    this.painter.end();
    this.observer.disconnect();
    this.unsubscribe();
  }

  componentDidUpdate(before) {
    const { graph, nodes, edges } = this.props;
    if (graph !== before.graph) this.view = { k: 1, x: 0, y: 0 };
    if (graph !== before.graph || nodes !== before.nodes) this.place();
    if (graph !== before.graph || nodes !== before.nodes || edges !== before.edges) this.everything();
    else this.foreground();
  }

  resized() {
    const { clientWidth: width, clientHeight: height } = this.box.current;
    if (!width || !height || (width === this.width && height === this.height)) return;
    Object.assign(this, { width, height, ratio: Math.min(devicePixelRatio || 1, 2) });
    for (const ref of [this.edgesRef, this.nodesRef, this.overRef]) {
      ref.current.width = Math.round(width * this.ratio);
      ref.current.height = Math.round(height * this.ratio);
    }
    this.place();
    this.everything();
  }

  place() {
    if (this.width) this.placed = layout(this.props.graph, this.props.nodes, this.width, this.height);
  }

  everything() {
    if (!this.placed) return;
    this.ink = draw.colours(this.box.current);
    this.background();
    this.foreground();
  }

  background() {
    const { graph, edges } = this.props;
    const { width, height } = this.edgesRef.current;
    const lines = draw.lines(graph, edges, this.placed, this.view, this.ratio);
    this.painter.paint({
      job: { ...this.view },
      width,
      height,
      lines,
      colours: [draw.rgb(this.ink.up), draw.rgb(this.ink.down)],
    });
  }

  painted({ job, pixels, width, height }) {
    const canvas = this.edgesRef.current;
    if (!canvas || canvas.width !== width || canvas.height !== height) return;
    canvas.getContext("2d").putImageData(new ImageData(pixels, width, height), 0, 0);
    this.drawn = job;
    this.shift();
    this.box.current.dataset.drawn = String(Number(this.box.current.dataset.drawn ?? 0) + 1);
  }

  // While the picture moves, the edges and nodes of before are moved along, until they are drawn anew.
  shift() {
    const { k, x, y } = this.view;
    for (const [ref, was = this.view] of [
      [this.edgesRef, this.drawn],
      [this.nodesRef, this.nodesDrawn],
    ]) {
      const scale = k / was.k;
      const dx = x - was.x * scale, dy = y - was.y * scale;
      ref.current.style.transform = `translate(${dx}px, ${dy}px) scale(${scale})`;
    }
  }

  cleared(ref) {
    const context = ref.current.getContext("2d");
    context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    context.clearRect(0, 0, this.width, this.height);
    return context;
  }

  foreground() {
    if (!this.placed || !this.ink) return;
    const { graph, matches, shared, pins } = this.props;
    const context = this.cleared(this.nodesRef);
    const dimmed = matches?.length
      ? Uint8Array.from(graph.kind, (kind, i) => (kind < 2 && !matches.includes(i) ? 1 : 0))
      : null;
    draw.nodes(context, graph, this.placed, this.view, this.ink, dimmed);
    const shown = new Set(this.placed.shown);
    if (shared)
      draw.rings(
        context,
        this.placed,
        this.view,
        shared.filter((i) => shown.has(i)),
        this.ink.shared,
        draw.RADIUS + 2.5,
      );
    if (pins)
      draw.rings(
        context,
        this.placed,
        this.view,
        pins.filter((i) => shown.has(i)),
        this.ink.ink,
        draw.RADIUS + 3,
        [3, 2],
      );
    this.nodesDrawn = { ...this.view };
    this.shift();
    this.over();
  }

  over() {
    if (!this.placed || !this.ink) return;
    const { graph, edges, selected } = this.props;
    const context = this.cleared(this.overRef),
      shown = this.props.nodes;
    const focus = this.hovered >= 0 ? this.hovered : selected;
    if (focus >= 0 && shown[focus]) {
      draw.traces(context, graph, this.placed, this.view, edges, focus, this.ink);
      draw.rings(context, this.placed, this.view, [focus], this.ink.chosen);
    }
    if (selected >= 0 && selected !== focus && shown[selected])
      draw.rings(context, this.placed, this.view, [selected], this.ink.chosen);
    axes(context, graph, this.placed, this.view, this.ink);
  }

  at({ clientX, clientY }) {
    const box = this.box.current.getBoundingClientRect();
    const { k, x, y } = this.view;
    return nodeAt(this.placed, (clientX - box.left - x) / k, (clientY - box.top - y) / k, REACH / k);
  }

  hover(i) {
    if (i === this.hovered) return;
    this.hovered = i;
    this.box.current.style.cursor = i >= 0 ? "pointer" : "";
    this.over();
    this.props.onHover?.(
      i,
      i >= 0 && [
        this.placed.x[i] * this.view.k + this.view.x,
        this.placed.y[i] * this.view.k + this.view.y,
        this.width,
      ],
    );
  }

  move = (event) => {
    if (!this.grip) return this.hover(this.at(event));
    const dx = event.clientX - this.grip.x,
      dy = event.clientY - this.grip.y;
    if (!this.grip.moved && Math.hypot(dx, dy) < 4) return;
    this.grip.moved = true;
    this.look({ k: this.view.k, x: this.grip.view.x + dx, y: this.grip.view.y + dy });
  };

  down = (event) => {
    if (event.button === 0) this.grip = { x: event.clientX, y: event.clientY, view: this.view };
    this.box.current.setPointerCapture?.(event.pointerId);
  };

  up = (event) => {
    const grip = this.grip;
    this.grip = null;
    if (!grip) return;
    if (grip.moved) return this.everything();
    const i = this.at(event);
    if (i >= 0 && (event.shiftKey || event.ctrlKey || event.metaKey)) this.props.onPin?.(i);
    else this.props.onSelect(i);
  };

  wheel = (event) => {
    event.preventDefault();
    const box = this.box.current.getBoundingClientRect();
    this.zoom(Math.exp(-event.deltaY * 0.0015), event.clientX - box.left, event.clientY - box.top);
  };

  zoom(factor, px = this.width / 2, py = this.height / 2) {
    const { k, x, y } = this.view;
    const next = Math.min(CLOSEST, Math.max(1, k * factor));
    this.look(
      next === 1
        ? { k: 1, x: 0, y: 0 }
        : { k: next, x: px - ((px - x) * next) / k, y: py - ((py - y) * next) / k },
    );
    clearTimeout(this.later);
    this.later = setTimeout(() => this.box.current && this.everything(), 120);
  }

  look(view) {
    this.view = view;
    this.shift();
    this.over();
  }

  keys = (event) => {
    const { current, onSelect, onPin, graph, edges } = this.props;
    const selected = current(); // keys come faster than pages are drawn
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const follow = (list, end) => list.length && onSelect(end[list[0]]);
    if (STEP[event.key]) onSelect(nextNode(this.placed, selected, ...STEP[event.key]));
    else if (event.key === "Enter" || event.key === "p") selected >= 0 && onPin?.(selected);
    else if (event.key === "i")
      selected >= 0 && follow(graph.strongest(selected, graph.inputs, edges, 1), graph.source);
    else if (event.key === "o")
      selected >= 0 && follow(graph.strongest(selected, graph.outputs, edges, 1), graph.target);
    else if (event.key === "+" || event.key === "=") this.zoom(1.3);
    else if (event.key === "-") this.zoom(1 / 1.3);
    else if (event.key === "Escape") onSelect(-1);
    else return;
    event.preventDefault();
  };

  render({ label, description }) {
    return html`<div
      class="picture"
      ref=${this.box}
      tabindex="0"
      role="application"
      aria-roledescription="graph"
      aria-label=${label}
      aria-describedby=${description}
      onPointerMove=${this.move}
      onPointerDown=${this.down}
      onPointerUp=${this.up}
      onPointerLeave=${() => this.hover(-1)}
      onKeyDown=${this.keys}
    >
      <canvas ref=${this.edgesRef} aria-hidden="true"></canvas>
      <canvas ref=${this.nodesRef} aria-hidden="true"></canvas>
      <canvas ref=${this.overRef} aria-hidden="true"></canvas>
    </div>`;
  }
}
