import { type AnswerErrorCode, type FileFault, faultText, type Performed } from '#core/ipc'

/** A call that is not performed, with what its answer says. */
export class Refusal extends Error {
  override readonly name = 'Refusal'
  readonly code: AnswerErrorCode

  constructor(code: AnswerErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }

  static of(path: string, fault: FileFault): Refusal {
    return new Refusal(fault === 'absent' ? 'failed' : 'invalid_input', `${path}: ${faultText[fault]}`)
  }

  get answer(): Performed {
    return { ok: false, error: { code: this.code, message: this.message.slice(0, 16_384) } }
  }
}
