// Draws lines beside the page. It answers each job with the pixels and the job's number.
import { splat } from "./splat.js";

onmessage = ({ data }) => {
  const started = performance.now();
  const pixels = splat(data);
  const { job, width, height } = data;
  postMessage({ job, width, height, pixels, took: performance.now() - started }, [pixels.buffer]);
};
