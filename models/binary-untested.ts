/**
 * For the engine's own process (`node --import`). node-llama-cpp loads its binary in another process first, to see whether that survives, which takes half a
 * second of each start. The engine's process is there to be killed by it: its parent says so then.
 */
import { registerHooks } from "node:module";

registerHooks({
  load: (url, context, next) =>
    url.endsWith("/node-llama-cpp/dist/bindings/utils/testBindingBinary.js")
      ? { format: "module", source: "export const testBindingBinary = async () => true;", shortCircuit: true }
      : next(url, context),
});
