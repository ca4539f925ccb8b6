/** The person at the terminal, or whoever runs the service, ended the command. */
export class Stopped extends Error {
  constructor(message = "Stopped; run it again to go on.") {
    super(message);
  }
}

/**
 * Aborted with `Stopped` by Ctrl-C, a service stop, a closed terminal, or the end of the bootstrap that started this process. It may come more
 * than once: from the terminal, and passed on by the parent.
 */
export function stopSignal(): AbortSignal {
  const controller = new AbortController();
  const stop = (): void => controller.abort(new Stopped());
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, stop);
  process.on("disconnect", stop);
  process.channel?.unref();
  return controller.signal;
}
