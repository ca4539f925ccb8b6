import { createDecipheriv } from "node:crypto";
import { join } from "node:path";
import { expect } from "chai";
import { openAuditDatabase } from "../server/audit/database.ts";
import { readAuditKeys } from "../server/audit/keys.ts";
import { startTestAppliance, type TestAppliance, userSays } from "./support/appliance.ts";
import { entriesOf } from "./support/entries.ts";

const chat = "/v1/chat/completions";
const canary = "CANARY7f3a";

async function callsOfEveryKind({ call }: TestAppliance): Promise<void> {
  await call("POST", chat, { ...userSays(`${canary} asks, bob-${canary}@example.org`), user: canary });
  await call("POST", chat, { ...userSays(`${canary} streams`), stream: true, stop: canary });
  await call("POST", chat, userSays(`${canary} is refused ${"\b".repeat(50)}`));
  await call("POST", "/v1/guard/check", { input: `${canary} is checked, bob@example.org` });
}

describe("the record of a call", () => {
  it("holds keyed hashes of the texts, and no word of them, by the default policy", async () => {
    await using appliance = await startTestAppliance();
    await callsOfEveryKind(appliance);
    const entries = entriesOf(appliance.config.dataDir);
    expect(entries.filter((entry) => entry.kind === "received")).to.have.length(4);
    expect(JSON.stringify(entries)).to.not.match(/CANARY|bob|example\.org/u);
    const { messages, endUser } = entries.find((entry) => entry.kind === "received")?.body ?? {};
    expect(endUser).to.match(/^[0-9a-f]{64}$/u);
    const [message] = messages;
    expect(message).to.include({ role: "user", origin: "user" });
    expect(message.hmac).to.match(/^[0-9a-f]{64}$/u);
    expect(message.stored).to.equal(undefined);
  });

  it("says that the same text was sent again, to whoever holds the key", async () => {
    await using appliance = await startTestAppliance();
    for (const text of ["once", "twice", "twice"]) await appliance.call("POST", chat, userSays(text));
    const hashes = entriesOf(appliance.config.dataDir)
      .filter((entry) => entry.kind === "received")
      .map((entry) => entry.body.messages[0].hmac);
    expect(new Set(hashes).size).to.equal(2);
    expect(hashes[1]).to.equal(hashes[2]);
  });

  it("holds the texts too, sealed, when the policy says so", async () => {
    await using appliance = await startTestAppliance({ policy: "audit: { text: encrypted }\n" });
    await callsOfEveryKind(appliance);
    const { dataDir } = appliance.config;
    expect(JSON.stringify(entriesOf(dataDir))).to.not.include(canary);
    const keys = readAuditKeys(dataDir);
    const database = openAuditDatabase(join(dataDir, "audit.db"), keys.database, { readonly: true });
    const texts = database
      .prepare<[], { sealed: Buffer }>("SELECT sealed FROM texts")
      .all()
      .map(({ sealed }) => {
        expect(sealed.includes(canary)).to.equal(false);
        const decipher = createDecipheriv("aes-256-gcm", keys.text, sealed.subarray(0, 12));
        decipher.setAuthTag(sealed.subarray(-16));
        return decipher.update(sealed.subarray(12, -16), undefined, "utf8") + decipher.final("utf8");
      });
    database.close();
    expect(texts).to.include(`${canary} asks, bob-${canary}@example.org`).and.to.include(`${canary} streams`);
  });
});
