/** One command of the `sallyport` command line. */
export interface Command {
  /** What `--help` prints. */
  readonly usage: string;
  /** Returns the exit status: 0 done, 1 failed. Throws `UsageError` for wrong usage (status 2). */
  run(args: string[]): Promise<number>;
}

/** The command was called wrongly; the message says what is expected. */
export class UsageError extends Error {}

/** What a command can be asked to do, such as `certs list`. */
export interface Action<Given extends readonly unknown[], Result = number | Promise<number>> {
  /** Those that it takes, without dashes. */
  readonly options: readonly string[];
  /** What stands behind it, as usage names it, in brackets where it may be left out. Default: nothing */
  readonly argument?: string;
  /** Returns the exit status, unless the command knows it. */
  run(...given: Given): Result;
}

/** The one that is asked for. Throws `UsageError` where there is none of that name, or where it does not take what is given with it. */
export function actionOf<Given extends readonly unknown[], Result>(
  command: string,
  actions: Readonly<Record<string, Action<Given, Result>>>,
  [name = "", ...rest]: readonly string[],
  options: object,
): Action<Given, Result> {
  const action = Object.hasOwn(actions, name) ? actions[name] : undefined;
  if (action === undefined) throw new UsageError(`Say what to do: \`${command} ${Object.keys(actions).join("`, `")}\`.`);
  const called = `${command} ${name}`;
  const other = Object.keys(options).find((option) => !action.options.includes(option));
  if (other !== undefined) throw new UsageError(`\`${called}\` takes no --${other}.`);
  const { argument = "" } = action;
  const most = argument === "" ? 0 : 1;
  const least = argument.startsWith("[") ? 0 : most;
  if (rest.length > most && most === 0) throw new UsageError(`\`${called}\` takes no name.`);
  if (rest.length > most || rest.length < least)
    throw new UsageError(`Name one${least === 0 ? " at most" : ""}: \`${called} ${argument}\`.`);
  return action;
}
