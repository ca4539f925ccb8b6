/** Top-level domains by which viewers know a host that has no scheme; for a regular expression. */
export const domains = "[a-z]{2}|aero|asia|biz|com|coop|edu|gov|info|museum|name|net|org|pro|shop|web|xxx";
