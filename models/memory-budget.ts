/** What takes memory while it is loaded. */
export interface Tenant {
  readonly bytes: number;
  /** Nothing runs in it, and nothing waits for it. */
  readonly isIdle: boolean;
  /** Until its memory is free again. */
  unload(): Promise<void>;
}

/**
 * Shares memory out between models. For one that is called, others are unloaded, the one first that was called longest ago, and never one that is at
 * work: then it waits. Who waits is served in order, so that a large one comes up too.
 */
export class MemoryBudget {
  readonly bytesMax: number;
  readonly #free: () => number;
  /** By their last call, the oldest first. */
  readonly #loaded = new Set<Tenant>();
  readonly #waiting: { readonly tenant: Tenant; readonly go: (loads: boolean) => void }[] = [];
  #isServing = false;

  /** `free`: bytes that the host has left. Both default to no limit. */
  constructor(bytesMax = Number.POSITIVE_INFINITY, free = () => Number.POSITIVE_INFINITY) {
    this.bytesMax = bytesMax;
    this.#free = free;
  }

  /** Bytes that can be taken without unloading anything. */
  get room(): number {
    const taken = [...this.#loaded].reduce((sum, { bytes }) => sum + bytes, 0);
    return Math.min(this.bytesMax - taken, this.#free());
  }

  /** Whether there was room; then it is the tenant's. */
  take(tenant: Tenant): boolean {
    if (this.#waiting.length > 0 || tenant.bytes > this.room) return false;
    this.#loaded.add(tenant);
    return true;
  }

  /** Makes room, and waits for it as long as the tenant isn't idle. False: it is, and nothing was taken. */
  wait(tenant: Tenant): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    this.#waiting.push({ tenant, go: resolve });
    void this.#serve();
    return promise;
  }

  give(tenant: Tenant): void {
    this.#loaded.delete(tenant);
    void this.#serve();
  }

  /** To be told of each call that has ended. */
  ended(tenant: Tenant): void {
    if (this.#loaded.delete(tenant)) this.#loaded.add(tenant);
    void this.#serve();
  }

  async #serve(): Promise<void> {
    if (this.#isServing) return;
    this.#isServing = true;
    for (let [next] = this.#waiting; next !== undefined; [next] = this.#waiting) {
      const { tenant, go } = next;
      const leaving = tenant.isIdle ? [] : this.#leavingFor(tenant);
      if (leaving === undefined) break;
      for (const one of leaving) this.#loaded.delete(one);
      // What one of them still holds shows when the next is loaded.
      await Promise.allSettled(leaving.map((one) => one.unload()));
      this.#waiting.shift();
      if (!tenant.isIdle) this.#loaded.add(tenant);
      go(!tenant.isIdle);
    }
    this.#isServing = false;
  }

  /** Undefined: some that are at work must end first. Where nothing is left to unload, the host may still have too little: that shows when it is loaded. */
  #leavingFor({ bytes }: Tenant): readonly Tenant[] | undefined {
    const leaving: Tenant[] = [];
    let { room } = this;
    for (const one of this.#loaded) {
      if (bytes <= room) break;
      if (!one.isIdle) continue;
      leaving.push(one);
      room += one.bytes;
    }
    return bytes <= room || leaving.length === this.#loaded.size ? leaving : undefined;
  }
}
