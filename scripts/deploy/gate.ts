/** `node gate.ts FROM TO`: passes TCP connections on, byte by byte, without reading them. The one door of a network that leads nowhere else. */
import { connect, createServer } from "node:net";
import { pipeline } from "node:stream";

const [from, to] = process.argv.slice(2).map(address);
if (from === undefined || to === undefined) throw new Error("Usage: node gate.ts HOST:PORT HOST:PORT");
const server = createServer({ allowHalfOpen: true }, (outside) => {
  const inside = connect({ ...to, allowHalfOpen: true });
  pipeline(outside, inside, () => {});
  pipeline(inside, outside, () => {});
});
server.maxConnections = 1_000;
server.listen(from);
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(0));

function address(text: string): { host: string; port: number } {
  const [, host, port] = /^(.+):(\d+)$/u.exec(text) ?? [];
  if (host === undefined) throw new Error(`${text} is not HOST:PORT.`);
  return { host, port: Number(port) };
}
