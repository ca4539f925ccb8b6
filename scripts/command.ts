/** One command of the `sallyport` command line. */
export interface Command {
  /** What `--help` prints. */
  readonly usage: string;
  /** Returns the exit status: 0 done, 1 failed. Throws `UsageError` for wrong usage (status 2). */
  run(args: string[]): Promise<number>;
}

/** The command was called wrongly; the message says what is expected. */
export class UsageError extends Error {}

/** Throws `UsageError` when `given` has an option that `action` does not take. */
export function refuseOthers(action: string, given: object, taken: readonly string[]): void {
  const other = Object.keys(given).find((option) => !taken.includes(option));
  if (other !== undefined) throw new UsageError(`\`${action}\` takes no --${other}.`);
}
