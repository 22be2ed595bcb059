/**
 * The schema of what the browser keeps, and how an older one becomes a newer one.
 *
 *     conversations  key id                 without their messages
 *     messages       key [conversation, id]; index `running` of the answers that have not ended
 *     drafts         key conversation
 *     presets        key id
 *
 * The records are typed in `store.js`. A change of their shape is a new version: it appends a step here, and a test
 * that opens a database of the version before.
 */

/**
 * Each makes the next version of the one before it: the first makes version 1 of nothing.
 *
 * @type {((db: IDBDatabase, transaction: IDBTransaction) => void)[]}
 */
const STEPS = [
  (db) => {
    db.createObjectStore("conversations", { keyPath: "id" });
    db.createObjectStore("messages", { keyPath: ["conversation", "id"] }).createIndex("running", "running");
    db.createObjectStore("drafts", { keyPath: "conversation" });
    db.createObjectStore("presets", { keyPath: "id" });
  },
];

export const VERSION = STEPS.length;

/**
 * Bring a database to the newest version. To be called while it is being upgraded.
 *
 * @param {IDBDatabase} db
 * @param {IDBTransaction} transaction the one that upgrades
 * @param {number} from its version, 0 for a new one
 */
export function migrate(db, transaction, from) {
  for (const step of STEPS.slice(from)) step(db, transaction);
}
