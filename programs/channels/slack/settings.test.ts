import { describe, expect, test } from 'vitest'
import { variables } from './settings.ts'

describe('the settings', () => {
  test('name what is empty or absent', () => {
    const read = (more: object) => variables.safeParse({ SLACK_BOT_TOKEN: 'xoxb-1', ...more }).error?.issues
    const path = (more: object) => read(more)?.map(({ path }) => path.join())
    expect(path({})).toEqual(['SLACK_APP_TOKEN'])
    expect(path({ SLACK_APP_TOKEN: '' })).toContain('SLACK_APP_TOKEN')
    expect(path({ SLACK_SIGNING_SECRET: '' })).toContain('SLACK_SIGNING_SECRET')
    expect(path({ SLACK_BOT_TOKEN: 'xoxp-of-a-person', SLACK_APP_TOKEN: 'xapp-1' })).toEqual(['SLACK_BOT_TOKEN'])
    expect(path({ SLACK_APP_TOKEN: 'xapp-1' })).toBeUndefined()
  })
})
