/**
 * Whether a path of the workspace matches a glob: `?` one character but `/`, `*` any run without `/`, `**` any run. A
 * glob without a slash looks at the name alone. It follows all ways at once, one step a character, so its time is the
 * product of the two lengths whatever the glob.
 */
export function matchesGlob(glob: string, path: string): boolean {
  const subject = glob.includes('/') ? path : path.slice(path.lastIndexOf('/') + 1)
  const steps = glob.match(/\*\*|[\s\S]/g) ?? []
  let states = reach(steps, [0])
  for (const char of subject) {
    const next: number[] = []
    for (const state of states) {
      const step = steps[state]
      if (step === undefined) continue
      if (step === '**' || (step === '*' && char !== '/')) next.push(state)
      else if (step === char || (step === '?' && char !== '/')) next.push(state + 1)
    }
    states = reach(steps, next)
    if (states.length === 0) return false
  }
  return states.includes(steps.length)
}

/** `states` with those that a star lets one reach without a character, each once. */
function reach(steps: readonly string[], states: readonly number[]): number[] {
  const all = new Set<number>()
  for (let state of states) {
    all.add(state)
    while (steps[state] === '*' || steps[state] === '**') all.add(++state)
  }
  return [...all]
}
