import os
import sys
from importlib.metadata import version

import sqlalchemy
from sqlalchemy import create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

engine = create_engine(f"mysql+pymysql://root@127.0.0.1:{os.environ['RECIPE_PORT']}/shop?charset=utf8mb4")


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    email: Mapped[str]


# docs: from here
from contextlib import contextmanager
from contextvars import ContextVar
from urllib.parse import quote

from sqlalchemy import event

mark = ContextVar("mark", default="")


@contextmanager
def tag(*keys):
    """Names keys in every write that is sent in a with block: flush or commit in it."""
    token = mark.set("/* mc: " + " ".join(quote(key) for key in keys) + " */")
    try:
        yield
    finally:
        mark.reset(token)


@event.listens_for(engine, "before_cursor_execute", retval=True)
def put_tag(conn, cursor, statement, parameters, context, executemany):
    if mark.get() and statement.startswith(("INSERT ", "UPDATE ", "DELETE ", "REPLACE ")):
        verb, rest = statement.split(" ", 1)
        # With parameters the driver takes % for its own.
        statement = f"{verb} {mark.get().replace('%', '%%') if parameters else mark.get()} {rest}"
    return statement, parameters


with Session(engine) as session, tag("user:1", "user:1:friends"):
    session.get(User, 1).name = "Grace /* mc: forged */"
    session.commit()
# docs: to here

email = r"d'arcy,100%*/\@example.com"
with Session(engine, expire_on_commit=False) as session:
    with tag("users:newest", f"user_by_email:{email}"):
        user = User(name="Ada", email=email)
        session.add(user)
        session.commit()
    with tag(f"user:{user.id}", f"user_by_email:{email}"):
        session.delete(user)
        session.commit()

print(f"SQLAlchemy\t{sqlalchemy.__version__}\nPyMySQL\t{version('PyMySQL')}\nPython\t{sys.version.split()[0]}")
