export async function verifyFile(): Promise<void> {}
