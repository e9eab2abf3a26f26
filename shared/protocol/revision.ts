/** Where a worker's circuits stand. */

/** A state of a worker's circuits: the number of its last change, as one database (`epoch`) counts them. */
export interface Revision {
  number: number;
  epoch: string;
}
