/** @file How what reads and writes media refuses: by a `MediaError` of one sentence. */
import assert from 'node:assert/strict';

/** Asserts a refusal: one sentence, which ends with a full stop and holds no line break; anything else throws.
 * @param pattern what it says besides */
export function sentence(pattern: RegExp): (error: Error) => true {
  return error => {
    assert.equal(error.name, 'MediaError', error.stack);
    assert.match(error.message, /^[^\n]+\.$/);
    assert.match(error.message, pattern);
    return true;
  };
}

/** What `act` gives, or the sentence by which it refuses; anything else that it throws is thrown. */
export async function attempt<T>(act: () => T | Promise<T>): Promise<T | string> {
  try {
    return await act();
  } catch (error) {
    assert.ok(error instanceof Error, String(error));
    sentence(/./)(error);
    return error.message;
  }
}
