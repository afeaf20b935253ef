/**
 * Does something for each item, for at most `limit` of them at a time, in this thread. After a failure no more are
 * begun; the first error is thrown when those under way have ended.
 * @param onFailure called at once when something has failed, to make the others end.
 */
export async function concurrently<Item>(
  items: Iterable<Item>,
  limit: number,
  action: (item: Item) => Promise<void>,
  onFailure?: () => void,
): Promise<void> {
  const iterator = items[Symbol.iterator]();
  let failure: { readonly error: unknown } | undefined;
  const drive = async () => {
    while (failure === undefined) {
      const next = iterator.next();
      if (next.done) return;
      try {
        await action(next.value);
      } catch (error) {
        if (failure !== undefined) return;
        failure = { error };
        onFailure?.();
      }
    }
  };
  await Promise.all(Array.from({ length: limit }, drive));
  if (failure !== undefined) throw failure.error;
}
