const damaged = ["it is damaged, or its key is another one", "Put it and its key back from one backup, or move it away"] as const;
const inUse = ["another command reads or writes it", "Wait until that has ended, and run this again"] as const;

/** What SQLite says no with, by its primary code: why, and what to do. */
const reasons: Readonly<Record<string, readonly [why: string, advice: string]>> = {
  NOTADB: damaged,
  CORRUPT: damaged,
  BUSY: inUse,
  LOCKED: inUse,
  FULL: ["the disk is full", "Make room"],
  IOERR: ["the disk is full, or does not read or write", "Make room, raise this user's limits (quota, ulimit -f), or check the disk"],
  READONLY: ["this user may not write to it", "Change the owner or mode of it and of its directory, or run as another user"],
  CANTOPEN: ["it is not there, or this user has no right to it", "Correct its path, or the owner or mode of it and of its directory"],
};

/** What an error of SQLite says to the person who must act: why, and what to do. */
export function sqliteSentence(error: Error): string {
  const { code = "", message } = error as Error & { code?: string }; // as in SQLITE_IOERR_WRITE
  const known = reasons[code.split("_")[1] ?? ""];
  return known === undefined ? `${message}.` : `${known[0]} (${message}). ${known[1]}.`;
}
