import { readFileSync } from "node:fs";
import { PrismaMariaDb } from "@prisma/adapter-mariadb";
import client from "./generated/index.js";

const { PrismaClient } = client;
const adapter = new PrismaMariaDb({ host: "127.0.0.1", port: Number(process.env.RECIPE_PORT), user: "root", database: "shop" });

// docs: from here
import { queryTags, withQueryTags } from "@prisma/sqlcommenter-query-tags";

const prisma = new PrismaClient({ adapter, comments: [queryTags()] });

// Names keys in every statement of a function. The plug-in encodes them.
function tag(keys, writes) {
  return withQueryTags({ mc: keys.join(" ") }, writes);
}

await tag(["user:1", "user:1:friends"], () =>
  prisma.user.update({ where: { id: 1 }, data: { name: "Grace /* mc: forged */" } }));
// docs: to here

const email = String.raw`d'arcy,100%*/\@example.com`;
const { id } = await tag(["users:newest", `user_by_email:${email}`], () => prisma.user.create({ data: { name: "Ada", email } }));
await tag([`user:${id}`, `user_by_email:${email}`], () => prisma.user.delete({ where: { id } }));
await prisma.$disconnect();

console.log(`Prisma\t${JSON.parse(readFileSync("node_modules/prisma/package.json")).version}`);
console.log(`Node.js\t${process.versions.node}`);
