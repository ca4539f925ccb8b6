import { statSync } from "node:fs";
import type { Classifiers } from "../../classifiers/classifier.ts";
import type { Events } from "../events.ts";
import { namePattern } from "../name-pattern.ts";
import type { Gates } from "../pipeline/answer.ts";
import type { RecordContext } from "../pipeline/call-record.ts";
import { gatesOf } from "./gates.ts";
import { type Policy, readPolicies, readPolicy } from "./policy.ts";

/** A policy at work. A call looks it up once, and is judged by it to its end. */
export interface PolicyAtWork {
  readonly gates: Gates;
  readonly recordContext: RecordContext;
}

const lookEveryMs = 500;

/** The policy of the configuration, and those that it names for some callers. Read again, all of them or none, when a file changes. */
export class Policies implements Disposable {
  readonly #path: string;
  readonly #classifiers: Classifiers;
  readonly #events: Events;
  readonly #timer: NodeJS.Timeout;
  #set: PolicySet;
  #refusedFor = "";

  /** Throws when a file is wrong. */
  constructor(path: string, classifiers: Classifiers, events: Events) {
    this.#path = path;
    this.#classifiers = classifiers;
    this.#events = events;
    this.#set = new PolicySet(path, classifiers);
    this.#timer = setInterval(() => this.#look(), lookEveryMs).unref();
  }

  get main(): Policy {
    return this.#set.main;
  }

  /** The policy that judges this caller. */
  for(caller: string): PolicyAtWork {
    return this.#set.for(caller);
  }

  /** Takes up what changed; a set with a wrong file is not taken up, and the one at work stays. */
  #look(): void {
    try {
      if (this.#set.isCurrent) return;
      this.#set = new PolicySet(this.#path, this.#classifiers);
      this.#refusedFor = "";
      this.#events.policyRead({ policy: this.#set.main.name, sha256: this.#set.main.sha256 });
    } catch (error) {
      const { message } = error as Error; // what the reading of files throws
      if (message !== this.#refusedFor) this.#events.policyRefused({ message });
      this.#refusedFor = message;
    }
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}

/** One reading of all files. */
class PolicySet {
  readonly main: Policy;
  readonly #default: PolicyAtWork;
  readonly #others: { readonly matches: RegExp; readonly policy: PolicyAtWork }[] = [];
  /** What each file looked like when it was read. */
  readonly #files = new Map<string, string>();

  constructor(path: string, classifiers: Classifiers) {
    const atWork = (policy: Policy): PolicyAtWork => ({
      gates: gatesOf(policy, classifiers),
      recordContext: {
        policy: { name: policy.name, sha256: policy.sha256 },
        storesText: policy.audit.text === "encrypted",
        attemptsMax: policy.attempts_max,
        ...(policy.quota === "off" ? {} : { quota: policy.quota }),
      },
    });
    const { main, named } = readPolicies(path, (file) => this.#read(file));
    this.main = main;
    this.#default = atWork(main);
    for (const { names, policy } of named) this.#others.push({ matches: namePattern(names), policy: atWork(policy) });
  }

  for(caller: string): PolicyAtWork {
    return this.#others.find(({ matches }) => matches.test(caller))?.policy ?? this.#default;
  }

  /** Whether the files are as they were read. */
  get isCurrent(): boolean {
    return [...this.#files].every(([path, state]) => stateOf(path) === state);
  }

  #read(path: string): Policy {
    this.#files.set(path, stateOf(path));
    return readPolicy(path);
  }
}

function stateOf(path: string): string {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat === undefined ? "none" : `${stat.ino} ${stat.size} ${stat.mtimeMs}`;
}
