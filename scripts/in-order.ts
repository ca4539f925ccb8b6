/** Results of `work` on each item, in the order of the items, with at most `sideBySide` at work or waiting to be read. `work` must not reject. */
export async function* inOrder<Item, Result>(
  items: AsyncIterable<Item>,
  sideBySide: number,
  work: (item: Item) => Promise<Result>,
): AsyncGenerator<Result> {
  const running: Promise<Result>[] = [];
  for await (const item of items) {
    running.push(work(item));
    const first = running.length >= sideBySide ? running.shift() : undefined;
    if (first !== undefined) yield await first;
  }
  for (const one of running) yield await one;
}
