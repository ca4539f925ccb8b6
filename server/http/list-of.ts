/** A list in OpenAI's shape. `found`: one more than `limit` when there are more. */
export function listOf(found: readonly { readonly id: string }[], limit: number): object {
  const data = found.slice(0, limit);
  return { object: "list", data, first_id: data[0]?.id ?? null, last_id: data.at(-1)?.id ?? null, has_more: found.length > limit };
}
