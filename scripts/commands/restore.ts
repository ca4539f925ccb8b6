import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { readConfig } from "../../server/config.ts";
import { restoreBackup } from "../backup/restore.ts";
import { type Command, UsageError } from "../command.ts";
import { step } from "../progress.ts";
import { stopSignal } from "../stop-signal.ts";

export const restore: Command = {
  usage: `Usage: npx sallyport restore FILE --key FILE [--signed-by KEY] [--back-in-time]

Decrypts a backup into a scratch directory, proves it whole, moves what is in the data directory aside (replaced-DATE, delete it
when you are sure; files and batches of callers are deleted at once) and puts the backup there. The service must be stopped. The
log records the restoration, and over what.
Configuration, policies and catalogue are put into DATA/configuration, for you to compare; they are not taken up by themselves.

  --key FILE        the secret key that \`backup --new-key\` made
  --signed-by KEY   refuse a backup of another installation: KEY is the public key that checkpoints and attestations show. Say it where
                    there is no log yet to compare with, since anybody can encrypt for a public key
  --back-in-time    restore although the log that is here has entries which the backup lacks; these are then only in replaced-DATE`,

  async run(args) {
    const { values, positionals } = parseArgs({
      args,
      allowPositionals: true,
      options: { key: { type: "string" }, "signed-by": { type: "string" }, "back-in-time": { type: "boolean", default: false } },
    });
    const [file, ...rest] = positionals;
    if (file === undefined || rest.length > 0 || values.key === undefined)
      throw new UsageError("Say what, and with which key: `restore FILE --key FILE`.");
    const identity = readFileSync(values.key, "utf8")
      .split("\n")
      .find((line) => line.startsWith("AGE-SECRET-KEY-1"))
      ?.trim();
    if (identity === undefined) throw new Error(`${values.key} holds no secret key (AGE-SECRET-KEY-1…).`);
    const signal = stopSignal();
    const { dataDir, tls } = readConfig();
    const { manifest, replaced, stillRevoked, authority } = await step("Restoring", () =>
      restoreBackup(
        dataDir,
        file,
        identity,
        { backInTime: values["back-in-time"], signedBy: values["signed-by"], serverNames: tls.names },
        signal,
      ),
    );
    console.log(
      `${dataDir} is as it was at ${manifest.made}: the log to entry ${manifest.head.seq}, and one more that says so. It is signed with key ${manifest.key}.`,
    );
    if (stillRevoked > 0) console.log(`Revoked since the backup, and still: ${stillRevoked} certificates.`);
    if (authority !== undefined) console.log(authority);
    if (replaced !== undefined) console.log(`What was there is in ${replaced}.`);
    return 0;
  },
};
