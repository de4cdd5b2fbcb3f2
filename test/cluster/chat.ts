/**
 * Somebody who writes to a bot: a stand-in of Telegram outside of the node, at the address that stands for the internet
 * and at the one port that a channel may reach there. It speaks plain HTTP, since nobody has a certificate for it.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { connect, createServer } from 'node:net'
import { startTelegram } from '../services/telegram.ts'
import { internet } from './outside.ts'

export const botToken = '123456:stand-in_of_a_token_of_a_bot'
export const chatService = `http://${internet}:443`

export interface Chat {
  /** Writes to the bot, as one person in one chat. */
  say(text: string): void
  /** What the bot has said so far, as it reads now. */
  said(): readonly string[]
  close(): void
}

/** `outside` is the command that starts a program there. */
export async function startChat([file = '', ...outside]: readonly string[]): Promise<Chat> {
  const args = [...outside, process.execPath, import.meta.filename]
  const child: ChildProcess = spawn(file, args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  let said: string[] = []
  await new Promise<void>((resolve, reject) => {
    child.once('exit', (code, signal) => reject(new Error(`the chat ended with ${code ?? signal}`)))
    child.on('message', (texts: string[]) => {
      said = texts
      resolve()
    })
  })
  return { say: (text) => void child.send(text), said: () => said, close: () => child.disconnect() }
}

if (import.meta.main) {
  const telegram = await startTelegram(botToken)
  const person = telegram.user('Alice')
  const chat = telegram.direct(person)
  const { hostname, port } = new URL(telegram.url)
  const server = createServer((client) => {
    const service = connect(Number(port), hostname)
    client.pipe(service).pipe(client)
    client.on('error', () => service.destroy())
    service.on('error', () => client.destroy())
  })
  await new Promise<void>((resolve) => server.listen(443, internet, resolve))
  process.on('message', (text: string) => telegram.say(person, chat, text))
  process.once('disconnect', () => process.exit())
  const tell = () => process.send?.(telegram.said(chat).map(({ text = '' }) => text))
  setInterval(tell, 200)
  tell()
}
