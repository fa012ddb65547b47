/** Time that passes, and time that this process spends on its processors, all threads together; in milliseconds. */
export function stopwatch(): () => { ms: number; cpuMs: number } {
  const cpu = process.cpuUsage();
  const start = performance.now();
  return () => {
    const ms = performance.now() - start;
    const { user, system } = process.cpuUsage(cpu);
    return { ms, cpuMs: (user + system) / 1000 };
  };
}
