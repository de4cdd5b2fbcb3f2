import { join } from 'node:path'
import { describe } from 'vitest'
import { startBoard } from '../../../test/services/board.ts'
import { conforms } from '../conformance.test-support.ts'

describe('the board', () => {
  conforms({
    program: join(import.meta.dirname, 'testing', 'board-main.ts'),
    token: 'BOARD_TOKEN',
    standIn: startBoard,
    edits: true,
    typing: true,
    idempotent: false,
    conversations: 200,
    tooLong: Array.from({ length: 90 }, (_, at) => `word${at}`).join(' '),
  })
})
