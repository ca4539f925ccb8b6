import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { generateX25519Identity, identityToRecipient } from "age-encryption";
import { writeFileWhole } from "../../certs/write-file.ts";
import { readConfig } from "../../server/config.ts";
import { type Command, UsageError } from "../command.ts";
import { step } from "../progress.ts";
import { refuseExisting } from "../refuse-existing.ts";
import { stopSignal } from "../stop-signal.ts";

export const backup: Command = {
  usage: `Usage: npx sallyport backup FILE --to KEY | --new-key FILE

Writes the data directory (log, keys, certificates), the configuration, its policies and the catalogue of models into one encrypted
file, beside a running service. Before the command ends, what was written is restored into a scratch directory and proven whole.
Models are not in it. FILE must lie outside the data directory.

  --to KEY          whom it is for: the public key age1…, which may stay on this host, since it opens nothing
  --new-key FILE    make a key pair instead: the secret key goes into FILE, to be kept elsewhere; the public one is printed

The format is age (X25519) with tar inside: without Sallyport, \`age --decrypt -i FILE BACKUP | tar x\` opens it.`,

  async run(args) {
    const { values, positionals } = parseArgs({
      args,
      allowPositionals: true,
      options: { to: { type: "string" }, "new-key": { type: "string" } },
    });
    const [file, ...rest] = positionals;
    const keyFile = values["new-key"];
    if (rest.length > 0 || (keyFile === undefined) === (file === undefined) || (values.to === undefined) !== (file === undefined))
      throw new UsageError("Say where to and for whom: `backup FILE --to KEY`; or make a key pair: `backup --new-key FILE`.");
    if (keyFile !== undefined) return await newKey(keyFile);
    const to = values.to ?? "";
    if (!/^age1[0-9a-z]{58}$/u.test(to))
      throw new UsageError(`"${to}" is no public key, age1 and 58 more letters and digits. Make a pair with \`backup --new-key FILE\`.`);
    const target = resolve(file ?? "");
    refuseExisting(target);
    const signal = stopSignal();
    const { createBackup } = await import("../backup/create.ts"); // with all that reads policies and certificates, which a key needs none of
    const { head, files } = await step("Writing and proving the backup", () => createBackup(readConfig(), target, to, signal));
    console.log(
      `${target}: ${Object.keys(files).length} files, the log to entry ${head.seq}, head ${head.hash}. Restored into a scratch directory, and whole.`,
    );
    return 0;
  },
};

async function newKey(file: string): Promise<number> {
  refuseExisting(file);
  const identity = await generateX25519Identity();
  writeFileWhole(resolve(file), `${identity}\n`, 0o600);
  console.log(
    `${await identityToRecipient(identity)}\nThe secret key is in ${file}. Move it off this host: whoever has it opens every backup, and without it none opens.`,
  );
  return 0;
}
