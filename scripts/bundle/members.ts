import { spawn } from "node:child_process";
import { once } from "node:events";

/** `BUNDLE`, the first thing that an installer reads: `NAME VALUE` lines, which a shell can read too. */
export interface BundleFacts {
  readonly version: string;
  readonly commit: string;
  readonly target: string;
  readonly dataFormat: number;
  /** SHA-256 of `FILES` of the bundle that a differential one builds on. */
  readonly base?: string;
}

export function factsText({ version, commit, target, dataFormat, base }: BundleFacts): string {
  const lines = [
    `version ${version}`,
    `commit ${commit}`,
    `target ${target}`,
    `data-format ${dataFormat}`,
    ...(base === undefined ? [] : [`base ${base}`]),
  ];
  return `${lines.join("\n")}\n`;
}

export function factsIn(text: string): BundleFacts {
  const values = new Map(text.split("\n").map((line) => [line.split(" ", 1)[0], line.slice(line.indexOf(" ") + 1)]));
  const value = (name: string): string => values.get(name) ?? "";
  const base = values.get("base");
  const facts = { version: value("version"), commit: value("commit"), target: value("target"), dataFormat: Number(value("data-format")) };
  return base === undefined ? facts : { ...facts, base };
}

/** `FILES`: every file of an installation, as `sha256sum --check` reads it. */
export function sumsText(sums: ReadonlyMap<string, string>): string {
  const lines = [...sums].map(([path, sum]) => `${sum}  ${path}\n`);
  return lines.toSorted((one, other) => (one.slice(66) < other.slice(66) ? -1 : 1)).join("");
}

export function sumsIn(text: string): Map<string, string> {
  const lines = text.split("\n").filter((line) => line !== "");
  return new Map(lines.map((line) => [line.slice(66), line.slice(0, 64)]));
}

/** The text of one file inside a bundle. */
export async function readMember(bundle: string, path: string): Promise<string> {
  const tar = spawn("tar", ["--extract", "--to-stdout", `--file=${bundle}`, path], { stdio: ["ignore", "pipe", "pipe"] });
  const said = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const)
    tar[name].on("data", (data) => {
      said[name] += String(data);
    });
  const [status] = await once(tar, "close");
  if (status !== 0) throw new Error(`${bundle} has no ${path}: it is no bundle, or damaged (tar: ${said.stderr.trim().split("\n")[0]}).`);
  return said.stdout;
}
