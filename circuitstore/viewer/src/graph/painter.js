// Sends lines to the worker, one job at a time: of jobs that wait, only the last is done.
import source from "worker:./worker.js";
import { splat } from "./splat.js";

export class Painter {
  constructor(done) {
    this.done = done;
    this.waiting = null;
    this.busy = false;
    try {
      this.address = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
      this.worker = new Worker(this.address);
      this.worker.onmessage = ({ data }) => this.finish(data);
      this.worker.onerror = (event) => {
        event.preventDefault();
        this.worker = null; // a browser that allows none: lines are drawn by the page
        this.busy = false;
        if (this.last) this.paint(this.last);
      };
    } catch {
      this.worker = null;
    }
  }

  paint(job) {
    this.last = job;
    if (this.busy) this.waiting = job;
    else if (!this.worker) this.finish({ ...job, pixels: splat(job), took: 0 });
    else {
      this.busy = true;
      this.worker.postMessage(job);
    }
  }

  finish(result) {
    this.busy = false;
    const next = this.waiting;
    this.waiting = null;
    this.done(result);
    if (next) this.paint(next);
  }

  end() {
    this.worker?.terminate();
    URL.revokeObjectURL(this.address);
  }
}
