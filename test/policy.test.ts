import { expect } from "chai";
import { eventsOf, startTestAppliance, userSays } from "./support/appliance.ts";

const chat = "/v1/chat/completions";

describe("a policy", () => {
  it("that releases the whole answer only sends it when it is judged", async () => {
    await using appliance = await startTestAppliance({ policy: "output: { release: whole }\n" });
    const { text } = await appliance.call("POST", chat, { ...userSays("one two three"), stream: true });
    const contents = eventsOf(text).map((one) => one.choices[0].delta.content);
    expect(contents.filter(Boolean)).to.deep.equal(["one two three"]);
  });

  it("with a guard off does not judge", async () => {
    await using appliance = await startTestAppliance({
      policy: "input: { personal_data: off, delicate: off }\noutput: { personal_data: off }\n",
    });
    const { body } = await appliance.call("POST", chat, userSays("I am bob@example.org, ok"));
    expect(body.choices[0].message.content).to.equal("I am bob@example.org, ok");
    const checked = await appliance.call("POST", "/v1/guard/check", { input: "I am bob@example.org, ok" });
    expect(checked.body.flagged).to.equal(false);
  });

  it("that blocks new personal data ends the stream with content_filter before any of it left", async () => {
    await using appliance = await startTestAppliance({
      // Without a canary: one that begins like a word of the answer would hold it back.
      policy: "input: { personal_data: off }\noutput: { canary: off, personal_data: { action: block } }\n",
    });
    const { text } = await appliance.call("POST", chat, { ...userSays("write to bob@example.org now"), stream: true });
    const chunks = eventsOf(text);
    expect(chunks.map((one) => one.choices[0].delta.content ?? "").join("")).to.equal("write to ");
    expect(chunks.at(-1).choices[0].finish_reason).to.equal("content_filter");
  });

  it("that masks new personal data lets its label out instead", async () => {
    await using appliance = await startTestAppliance({ policy: "input: { personal_data: off }\n" });
    const { body } = await appliance.call("POST", chat, userSays("write to bob@example.org now"));
    expect(body.choices[0].message.content).to.equal("write to [EMAIL] now");
  });
});
