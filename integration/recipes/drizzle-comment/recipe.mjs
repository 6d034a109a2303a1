import { readFileSync } from "node:fs";
import { eq } from "drizzle-orm";
import { drizzle } from "drizzle-orm/mysql2";
import { int, mysqlTable, varchar } from "drizzle-orm/mysql-core";
import mysql from "mysql2/promise";

const users = mysqlTable("users", {
  id: int().primaryKey().autoincrement(),
  name: varchar({ length: 200 }).notNull(),
  email: varchar({ length: 200 }).notNull(),
});
const connection = await mysql.createConnection({ host: "127.0.0.1", port: process.env.RECIPE_PORT, user: "root", database: "shop" });
const db = drizzle({ client: connection });

// docs: from here
// What .comment takes. It is encoded there.
function tag(...keys) {
  return { mc: keys.join(" ") };
}

await db.update(users).set({ name: "Grace /* mc: forged */" }).where(eq(users.id, 1))
  .comment(tag("user:1", "user:1:friends"));
// docs: to here

const email = String.raw`d'arcy,100%*/\@example.com`;
const [added] = await db.insert(users).values({ name: "Ada", email }).comment(tag("users:newest", `user_by_email:${email}`));
await db.delete(users).where(eq(users.id, added.insertId)).comment(tag(`user:${added.insertId}`, `user_by_email:${email}`));
await connection.end();

for (const [name, folder] of [["Drizzle", "drizzle-orm"], ["mysql2", "mysql2"]]) {
  console.log(`${name}\t${JSON.parse(readFileSync(`node_modules/${folder}/package.json`)).version}`);
}
console.log(`Node.js\t${process.versions.node}`);
