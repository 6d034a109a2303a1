import os
import sys
from importlib.metadata import version

import sqlalchemy
from sqlalchemy import Column, Integer, MetaData, String, Table, create_engine

engine = create_engine(f"mysql+pymysql://root@127.0.0.1:{os.environ['RECIPE_PORT']}/shop?charset=utf8mb4")
users = Table("users", MetaData(), Column("id", Integer, primary_key=True), Column("name", String(200)), Column("email", String(200)))

# docs: from here
from urllib.parse import quote

from sqlalchemy import delete, insert, text, update


def tag(*keys):
    """The comment for prefix_with; the driver takes % for its own."""
    return text("/* mc: " + " ".join(quote(key, safe="") for key in keys) + " */")


with engine.begin() as db:
    db.execute(update(users).prefix_with(tag("user:1", "user:1:friends"))
               .where(users.c.id == 1).values(name="Grace /* mc: forged */"))
# docs: to here

email = r"d'arcy,100%*/\@example.com"
with engine.begin() as db:
    added = db.execute(insert(users).prefix_with(tag("users:newest", f"user_by_email:{email}")).values(name="Ada", email=email))
with engine.begin() as db:
    db.execute(delete(users).prefix_with(tag(f"user:{added.inserted_primary_key.id}", f"user_by_email:{email}")).where(users.c.email == email))

print(f"SQLAlchemy\t{sqlalchemy.__version__}\nPyMySQL\t{version('PyMySQL')}\nPython\t{sys.version.split()[0]}")
