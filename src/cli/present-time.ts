/** SOURCE_DATE_EPOCH stands in for the time, so that the same input can give the same output. */
export function presentTime(): Date {
  const epoch = process.env.SOURCE_DATE_EPOCH ?? "";
  return /^[0-9]{1,11}$/.test(epoch) ? new Date(Number(epoch) * 1000) : new Date();
}
