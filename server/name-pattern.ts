/** Fits any of `names`, in which `*` stands for any characters. */
export function namePattern(names: readonly string[]): RegExp {
  return new RegExp(`^(?:${names.map((name) => name.split("*").map(RegExp.escape).join(".*")).join("|")})$`, "u");
}
