import { readFileSync } from "node:fs";
import { DataSource, EntitySchema } from "typeorm";

const User = new EntitySchema({
  name: "User",
  tableName: "users",
  columns: { id: { type: Number, primary: true, generated: true }, name: { type: String }, email: { type: String } },
});
const db = await new DataSource({
  type: process.env.RECIPE_SERVER, host: "127.0.0.1", port: Number(process.env.RECIPE_PORT), username: "root", database: "shop", entities: [User],
}).initialize();

// docs: from here
// The comment that names keys.
function tag(...keys) {
  return "mc: " + keys.map(encodeURIComponent).join(" ");
}

await db.createQueryBuilder().update(User).set({ name: "Grace /* mc: forged */" }).where({ id: 1 })
  .comment(tag("user:1", "user:1:friends"))
  .execute();
// docs: to here

const email = String.raw`d'arcy,100%*/\@example.com`;
const added = await db.createQueryBuilder().insert().into(User).values({ name: "Ada", email })
  .comment(tag("users:newest", `user_by_email:${email}`)).execute();
const { id } = added.identifiers[0];
await db.createQueryBuilder().delete().from(User).where({ id }).comment(tag(`user:${id}`, `user_by_email:${email}`)).execute();
await db.destroy();

for (const [name, folder] of [["TypeORM", "typeorm"], ["mysql2", "mysql2"]]) {
  console.log(`${name}\t${JSON.parse(readFileSync(`node_modules/${folder}/package.json`)).version}`);
}
console.log(`Node.js\t${process.versions.node}`);
