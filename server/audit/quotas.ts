import { z } from "zod";
import { Fault } from "../fault.ts";
import type { AuditDatabase } from "./database.ts";

/** What one caller may use. Absent: no bound. */
export const quotaSchema = z.strictObject({
  /** Begins at the full hour, at midnight or on the first day of the month (UTC). */
  window: z.enum(["hour", "day", "month"]).default("day"),
  requests_max: z.int().min(1).optional(),
  /** Of prompts and answers. */
  tokens_max: z.int().min(1).optional(),
  /** Calls that are answered at the same time. */
  streams_max: z.int().min(1).optional(),
  /** Ids of those that the caller may ask. */
  models: z.array(z.string().min(1)).min(1).optional(),
});

export type Quota = z.infer<typeof quotaSchema>;

/** A share of a quota that a running call holds. */
export interface Reservation {
  readonly caller: string;
  readonly window: string;
  readonly tokens: number;
}

interface Used {
  /** The window, as entries of the log begin: `2026-11-28T14`, `2026-11-28` or `2026-11`. */
  window: string;
  requests: number;
  tokens: number;
}

const windowChars = { hour: 13, day: 10, month: 7 } as const;

/**
 * What callers have used. The log is the only store: what a caller used before this process began is read from its entries once, so that a crash or a
 * restart gives nobody more. A call that was received and never settled counts with all that it had reserved; one that failed does not count as a request.
 */
export class Quotas {
  readonly #database: AuditDatabase;
  readonly #used = new Map<string, Used>();
  readonly #running = new Map<string, number>();

  constructor(database: AuditDatabase) {
    this.#database = database;
  }

  /** Throws a `Fault` when the caller's quota has no room for a request and `tokens`; it says when there is room again, unless there never is for so many. */
  check(caller: string, quota: Quota, tokens: number): void {
    const { tokens_max: tokensMax = Number.POSITIVE_INFINITY } = quota;
    if (tokens > tokensMax)
      throw new Fault(
        "quota_exceeded",
        `This call may take ${tokens} tokens, and the quota of this caller is ${tokensMax} in one ${quota.window}; a smaller max_tokens takes less.`,
      );
    const used = this.#usedBy(caller, quota);
    const running = this.#running.get(caller) ?? 0;
    if (running >= (quota.streams_max ?? Number.POSITIVE_INFINITY)) throw exceeded(`${quota.streams_max} calls at the same time`, 1);
    const waitS = secondsLeft(quota.window);
    if (used.requests >= (quota.requests_max ?? Number.POSITIVE_INFINITY))
      throw exceeded(`${quota.requests_max} requests in one ${quota.window}`, waitS);
    if (used.tokens + tokens > tokensMax)
      throw exceeded(
        `${tokensMax} tokens in one ${quota.window}, of which ${Math.max(0, tokensMax - used.tokens)} are left, and this call may take ${tokens}; a smaller max_tokens takes less`,
        waitS,
      );
  }

  /** Takes a request and `tokens` out of the caller's quota. Nothing else runs meanwhile, so a thousand calls at once take no more than there is. Throws a `Fault`. */
  reserve(caller: string, quota: Quota, tokens: number): Reservation {
    this.check(caller, quota, tokens);
    const used = this.#usedBy(caller, quota);
    used.requests += 1;
    used.tokens += tokens;
    this.#running.set(caller, (this.#running.get(caller) ?? 0) + 1);
    return { caller, window: used.window, tokens };
  }

  /** A call without a quota is not counted here, so that what this caller used is read from the log again when it gets one. */
  uncounted(caller: string): void {
    this.#used.delete(caller);
  }

  /** Gives back what a call did not use. `counts`: whether it was a request. */
  settle({ caller, window, tokens: reserved }: Reservation, tokens: number, counts: boolean): void {
    this.#running.set(caller, (this.#running.get(caller) ?? 1) - 1);
    const used = this.#used.get(caller);
    if (used?.window !== window) return;
    used.tokens += tokens - reserved;
    if (!counts) used.requests -= 1;
  }

  #usedBy(caller: string, quota: Quota): Used {
    const window = new Date().toISOString().slice(0, windowChars[quota.window]);
    const known = this.#used.get(caller);
    if (known?.window === window) return known;
    const used = { window, ...this.#recorded(caller, window) };
    this.#used.set(caller, used);
    return used;
  }

  #recorded(caller: string, window: string): { requests: number; tokens: number } {
    // An upper bound too, since the clock may have been ahead: "~" stands behind all that a time of this window goes on with.
    const row = this.#database
      .prepare<{ window: string; caller: string }, { requests: number | null; tokens: number | null }>(
        `SELECT sum(coalesce(outcome, '') <> 'failed') AS requests,
                sum(CASE WHEN outcome IS NULL OR outcome = 'interrupted' THEN reserved ELSE spent END) AS tokens
         FROM (SELECT coalesce(json_extract(r.body, '$.reserved'), 0) AS reserved,
                      json_extract(s.body, '$.outcome') AS outcome,
                      coalesce(json_extract(s.body, '$.usage.promptTokens'), 0) + coalesce(json_extract(s.body, '$.usage.completionTokens'), 0) AS spent
               FROM entries r LEFT JOIN entries s ON s.call = r.call AND s.kind = 'settled'
               WHERE r.kind = 'received' AND r.at >= :window AND r.at < :window || '~' AND json_extract(r.body, '$.caller.name') = :caller)`,
      )
      .get({ window, caller });
    return { requests: row?.requests ?? 0, tokens: row?.tokens ?? 0 };
  }
}

function exceeded(what: string, waitS: number): Fault {
  return new Fault("quota_exceeded", `The quota of this caller is used up: ${what}.`, { headers: { "Retry-After": String(waitS) } });
}

function secondsLeft(window: Quota["window"]): number {
  const now = new Date();
  const [year, month, day, hour] = [now.getUTCFullYear(), now.getUTCMonth(), now.getUTCDate(), now.getUTCHours()] as const;
  const end = { hour: Date.UTC(year, month, day, hour + 1), day: Date.UTC(year, month, day + 1), month: Date.UTC(year, month + 1) }[window];
  return Math.ceil((end - now.getTime()) / 1_000);
}
