import { AssertionError } from "node:assert";
import { z } from "zod";
import { sqliteSentence } from "../server/audit/sqlite-errors.ts";
import { sentences } from "../server/checked-yaml.ts";
import { readConfig } from "../server/config.ts";

/** What only a mistake in the program throws. */
const bugs = [TypeError, RangeError, ReferenceError, SyntaxError, EvalError, URIError, AssertionError, DOMException];

/** What the operating system says no with: why, and what to do. */
const systemErrors: Record<string, readonly [why: string, advice: string]> = {
  EACCES: ["this user has no right to it", "Change its owner or mode, or run as another user"],
  EPERM: ["this user has no right to it", "Change its owner or mode, or run as another user"],
  ENOSPC: ["the disk is full", "Make room"],
  EFBIG: ["it may not become so large", "Raise this user's limit (ulimit -f), or name another place"],
  EDQUOT: ["this user's share of the disk is full", "Make room"],
  EROFS: ["the file system is read-only", "Name a place that can be written, such as another SALLYPORT_DATA"],
  ENOENT: ["it does not exist", "Make it, or correct its path"],
  EISDIR: ["it is a directory", "Name a file"],
  ENOTDIR: ["a part of its path is a file", "Correct the path"],
  EEXIST: ["it exists already", "Move it away"],
  ENOTEMPTY: ["it exists already", "Move it away"],
  EBUSY: ["it is in use, or mounted", "Unmount it, or end what uses it"],
  EXDEV: ["it can't be moved to another file system", "Keep both on one"],
  ENAMETOOLONG: ["its name is too long", "Give a shorter one"],
  ELOOP: ["it is a link to itself", "Correct the link"],
  EMFILE: ["too many files are open", "Raise the limit (ulimit -n)"],
  ENFILE: ["too many files are open", "Raise the system's limit (fs.file-max)"],
  EIO: ["the disk does not read or write", "Check the disk"],
};

/** What an error says to the person at the terminal; for a bug, everything. */
export function told(error: unknown): unknown {
  return sentenceOf(error) ?? error;
}

/** Undefined for a bug. */
export function sentenceOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || bugs.some((bug) => error instanceof bug)) return undefined;
  if (error instanceof z.ZodError) return `A value is not valid:\n${sentences(error)}`;
  if (error.name === "SqliteError") return `The audit log in ${readConfig().dataDir} can't be used: ${sqliteSentence(error)}`;
  const { code, syscall } = error as NodeJS.ErrnoException; // undefined where it is none
  if (syscall !== undefined) return systemSentence(error);
  return code?.startsWith("ERR_") ? undefined : error.message;
}

function systemSentence({ code = "", path, dest, syscall }: NodeJS.ErrnoException & { readonly dest?: string }): string | undefined {
  const known = systemErrors[code];
  if (known === undefined) return undefined;
  const [why, advice] = known;
  const what = (["ENOENT", "EBUSY", "EXDEV"].includes(code) ? path : (dest ?? path)) ?? "A file";
  return `${what} can't be used (${syscall}): ${why}. ${advice}.`;
}
