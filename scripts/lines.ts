/** Lines of a stream of bytes, without their ends; empty ones are left out. A line of more than `bytesMax` comes as `undefined`, and is never held whole. */
export async function* linesOf(stream: AsyncIterable<Uint8Array>, bytesMax: number): AsyncGenerator<string | undefined> {
  let parts: Uint8Array[] = [];
  let bytes = 0;
  const finish = (): string | undefined => {
    const line = bytes > bytesMax ? undefined : Buffer.concat(parts).toString("utf8");
    parts = [];
    bytes = 0;
    return line;
  };
  for await (const chunk of stream) {
    let from = 0;
    for (let end = chunk.indexOf(10); ; end = chunk.indexOf(10, from)) {
      const part = chunk.subarray(from, end === -1 ? undefined : end);
      bytes += part.length;
      if (bytes <= bytesMax) parts.push(part);
      if (end === -1) break;
      from = end + 1;
      const line = finish();
      if (line === undefined || line.trim() !== "") yield line;
    }
  }
  if (bytes > 0) {
    const line = finish();
    if (line === undefined || line.trim() !== "") yield line;
  }
}
