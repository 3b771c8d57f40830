// Makes built/explorer.js and built/explorer.css of src/. `node build.mjs DIR` writes to another folder.
//
// `npm ci` in this folder installs what it needs. The result does not depend on where it is made.
import { build } from "esbuild";
import { fileURLToPath } from "node:url";
import path from "node:path";

const here = path.dirname(fileURLToPath(import.meta.url));
const out = process.argv[2] ?? path.join(here, "built");
const shared = {
  absWorkingDir: here,
  bundle: true,
  minify: true,
  target: "es2022",
  charset: "ascii",
  legalComments: "none",
};

// `import text from "worker:./file.js"` gives the bundled source of a worker as text.
const worker = {
  name: "worker",
  setup(into) {
    into.onResolve({ filter: /^worker:/ }, ({ path: name, resolveDir }) => ({
      path: path.join(resolveDir, name.slice("worker:".length)),
      namespace: "worker",
    }));
    into.onLoad({ filter: /.*/, namespace: "worker" }, async ({ path: file }) => {
      const made = await build({ ...shared, entryPoints: [file], format: "iife", write: false });
      return { contents: made.outputFiles[0].text, loader: "text" };
    });
  },
};

await build({
  ...shared,
  entryPoints: { explorer: "src/main.js" },
  format: "iife",
  outdir: out,
  plugins: [worker],
});
await build({ ...shared, entryPoints: { explorer: "src/style.css" }, outdir: out });
