/** Aborted by Ctrl-C or a service stop. The same signal may come more than once: from the terminal, and passed on by the parent. */
export function stopSignal(): AbortSignal {
  const controller = new AbortController();
  const stop = (): void => controller.abort(new Error("Stopped. Run it again to go on where it was."));
  process.on("SIGINT", stop);
  process.on("SIGTERM", stop);
  return controller.signal;
}
