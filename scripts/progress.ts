const patienceMs = 2_000;

/** Does `work`; when it takes longer than two seconds, says so on standard error, and every few seconds how far it is. */
export async function step<T>(title: string, work: (progress: (text: string) => void) => Promise<T>): Promise<T> {
  const startedMs = performance.now();
  const seconds = (): number => Math.round((performance.now() - startedMs) / 1000);
  let detail = "";
  let told = false;
  const tick = setInterval(() => {
    process.stderr.write(`${title} … ${seconds()} s${detail === "" ? "" : `, ${detail}`}\n`);
    told = true;
  }, patienceMs);
  try {
    const result = await work((text) => {
      detail = text;
    });
    if (told) process.stderr.write(`${title}: done in ${seconds()} s\n`);
    return result;
  } finally {
    clearInterval(tick);
  }
}
