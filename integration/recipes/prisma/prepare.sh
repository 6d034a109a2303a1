# Makes the client of the schema. That takes no schema engine, which Prisma would
# download all the same if it were not told that there is one.
PRISMA_SCHEMA_ENGINE_BINARY=$(which true) exec node node_modules/prisma/build/index.js generate --schema schema.prisma
