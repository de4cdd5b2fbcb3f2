import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { attachmentPath, cleanName, isAllowedType, mediaTypeOf, usualFileLimits } from './index.ts'

describe('a name', () => {
  test.each([
    ['report.pdf', 'report.pdf'],
    ['../../etc/passwd', 'passwd'],
    ['..\\..\\boot.ini', 'boot.ini'],
    ['..', 'file'],
    ['/', 'file'],
    ['', 'file'],
    ['.bashrc', 'bashrc'],
    ['-rf', 'rf'],
    ['a\0b.txt', 'a_b.txt'],
    ['line\nbreak.txt', 'line_break.txt'],
    ['Übersicht 2026 (neu).xlsx', 'Übersicht_2026_(neu).xlsx'],
    ['$(reboot);`id`|x.sh', '_(reboot)__id__x.sh'.replace(/^_+/, '')],
    ['\u202egnp.exe', 'gnp.exe'],
    ['報告.pdf', '報告.pdf'],
  ])('%j becomes %j', (given, wanted) => {
    expect(cleanName(given)).toBe(wanted)
  })

  test('of 300 characters is cut, and keeps its extension', () => {
    const name = cleanName(`${'ä'.repeat(300)}.docx`)
    expect(Buffer.byteLength(name)).toBeLessThanOrEqual(120)
    expect(name).toMatch(/^ä+\.docx$/)
  })

  test('whatever it was, is one component that is neither hidden nor an option, and distinct in a run', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: 'binary', maxLength: 400 }), fc.string()), (given) => {
        const name = cleanName(given)
        expect(name).toMatch(/^[^/\\\0.-][^/\\\0\n\r]*$/u)
        expect(Buffer.byteLength(name)).toBeLessThanOrEqual(120)
        expect(name.isWellFormed()).toBe(true)
        expect(attachmentPath(1, given)).not.toBe(attachmentPath(2, given))
      }),
    )
  })
})

describe('the type of a file', () => {
  const png = Buffer.from('89504e470d0a1a0a0000000d49484452', 'hex')
  const elf = Buffer.from('7f454c4602010100', 'hex')
  test.each<[string, Buffer, string, string]>([
    ['a picture that says it is text', png, 'text/plain', 'image/png'],
    ['a program that says it is a picture', elf, 'image/png', 'application/octet-stream'],
    ['text that says it is a picture', Buffer.from('hello'), 'image/png', 'text/plain'],
    ['text by a narrower name', Buffer.from('a,b\n1,2\n'), 'text/csv; charset=utf-8', 'text/csv'],
    ['JSON', Buffer.from('{}'), 'application/json', 'application/json'],
    ['nothing at all', Buffer.alloc(0), 'application/pdf', 'text/plain'],
    ['a page', Buffer.from('%PDF-1.7 ...'), '', 'application/pdf'],
    ['a voice', Buffer.from('OggS\0\x02'), '', 'audio/ogg'],
    ['half a letter', Buffer.from([0x68, 0xc3]), 'text/plain', 'application/octet-stream'],
    ['a Windows program', Buffer.from('MZ\x90\0\x03'), 'text/plain', 'application/octet-stream'],
  ])('%s', (_, bytes, declared, wanted) => {
    expect(mediaTypeOf(bytes, declared)).toBe(wanted)
  })

  test('of a document is told from that of an archive', () => {
    const zip = (inside: string) => Buffer.concat([Buffer.from('PK\x03\x04'), Buffer.alloc(26), Buffer.from(inside)])
    expect(mediaTypeOf(zip('[Content_Types].xml...word/document.xml'))).toMatch(/wordprocessingml/)
    expect(mediaTypeOf(zip('a.txt'))).toBe('application/zip')
  })

  test('is allowed by its name or its kind, and a program is not', () => {
    const { types } = usualFileLimits
    expect(['image/png', 'text/csv', 'application/pdf', 'audio/ogg'].every((type) => isAllowedType(types, type))).toBe(
      true,
    )
    for (const type of ['application/octet-stream', 'application/gzip', 'imagex/png', 'image'])
      expect(isAllowedType(types, type)).toBe(false)
  })

  test('is found for any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), fc.string(), (bytes, declared) => {
        expect(mediaTypeOf(Buffer.from(bytes), declared)).toMatch(/^[a-z]+\/[a-z0-9.+-]+$/)
      }),
    )
  })
})
