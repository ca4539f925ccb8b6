import { setTimeout as pause } from "node:timers/promises";
import { expect } from "chai";
import { Lockstep } from "../models/lockstep.ts";

describe("an engine's steps", () => {
  it("wait for all who take part, and for nobody who has left", async () => {
    let steps = 0;
    const lockstep = new Lockstep({
      begun: () => {},
      stepped: () => {
        steps += 1;
      },
    });
    const done: string[] = [];
    for (let count = 0; count < 3; count += 1) lockstep.join();
    const first = lockstep.wait().then(() => done.push("first"));
    const second = lockstep.wait().then(() => done.push("second"));
    await pause(5);
    expect([steps, done]).to.deep.equal([0, []]);
    lockstep.leave();
    await Promise.all([first, second]);
    expect([steps, done]).to.deep.equal([1, ["first", "second"]]);
  });

  it("are of all together, and between two of them something may compute alone", async () => {
    const seen: string[] = [];
    const steps = new Lockstep({ begun: () => seen.push("begun"), stepped: () => seen.push("step") });
    let computing = 0;
    let aloneRuns = 0;
    const member = async (name: string, msPerStep: number, count: number): Promise<void> => {
      steps.join();
      await steps.wait();
      for (let step = 0; step < count; step += 1) {
        computing += 1;
        seen.push(name);
        await pause(msPerStep);
        computing -= 1;
        expect(aloneRuns, "while a member computes").to.equal(0);
        if (step < count - 1) await steps.wait();
      }
      steps.leave();
    };
    const alone = async (count: number): Promise<void> => {
      for (let piece = 0; piece < count; piece += 1) {
        await steps.alone(async () => {
          aloneRuns += 1;
          expect(computing, "while something computes alone").to.equal(0);
          seen.push("alone");
          await pause(5);
          expect(computing, "while something computes alone").to.equal(0);
          aloneRuns -= 1;
        });
      }
    };
    await Promise.all([member("a", 1, 6), member("b", 4, 4), alone(4), pause(8).then(() => member("c", 2, 3))]);
    expect(seen.filter((one) => one === "alone")).to.have.length(4);
    expect(seen.join(" "))
      .to.contain("step a b")
      .and.to.match(/alone (?:begun )?step/u);
    expect(steps.isBusy).to.equal(false);
  });

  it("are not held up by what failed alone, which needs nobody beside it", async () => {
    const steps = new Lockstep({ begun: () => {}, stepped: () => {} });
    const failed = await steps.alone(() => Promise.reject(new Error("no memory"))).catch((error: Error) => error.message);
    expect(failed).to.equal("no memory");
    let ran = false;
    await steps.alone(async () => {
      ran = true;
    });
    expect(ran).to.equal(true);
    steps.join();
    await steps.wait();
    steps.leave();
  });
});
