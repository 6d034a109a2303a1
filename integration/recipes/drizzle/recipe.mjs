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

// docs: from here
import { sql } from "drizzle-orm";

// The comment that names keys.
function tag(...keys) {
  return sql.raw(`/* mc: ${keys.map(encodeURIComponent).join(" ")} */`);
}

const db = drizzle({ client: connection });
const name = "Grace /* mc: forged */";
await db.execute(sql`UPDATE ${tag("user:1", "user:1:friends")} ${users} SET name = ${name} WHERE ${eq(users.id, 1)}`);
// docs: to here

const email = String.raw`d'arcy,100%*/\@example.com`;
const [added] = await db.execute(sql`INSERT ${tag("users:newest", `user_by_email:${email}`)} INTO ${users} (name, email) VALUES (${"Ada"}, ${email})`);
await db.execute(sql`DELETE ${tag(`user:${added.insertId}`, `user_by_email:${email}`)} FROM ${users} WHERE id = ${added.insertId}`);
await connection.end();

for (const [name, folder] of [["Drizzle", "drizzle-orm"], ["mysql2", "mysql2"]]) {
  console.log(`${name}\t${JSON.parse(readFileSync(`node_modules/${folder}/package.json`)).version}`);
}
console.log(`Node.js\t${process.versions.node}`);
