/** Groups times by day, as the reader's own clock and calendar have it: days are not all of 24 hours. */

/**
 * Return how to group times, seen from now, and until when that holds: the next midnight. All in ms since the epoch.
 *
 * @param {number} now
 */
export function groupsAt(now) {
  const date = new Date(now);
  const daysAgo = (/** @type {number} */ days) =>
    new Date(date.getFullYear(), date.getMonth(), date.getDate() - days).getTime();
  const [today, yesterday, week, month] = [daysAgo(0), daysAgo(1), daysAgo(7), daysAgo(30)];
  return {
    until: daysAgo(-1),
    /**
     * Return the name of the group of a time: one of the newest four, or its year and month, "2026-10".
     *
     * @param {number} time
     */
    groupOf(time) {
      if (time >= today) return "today";
      if (time >= yesterday) return "yesterday";
      if (time >= week) return "week";
      if (time >= month) return "month";
      const day = new Date(time);
      return `${day.getFullYear()}-${day.getMonth() + 1}`;
    },
  };
}
