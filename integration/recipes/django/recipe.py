import os
import sys
from importlib.metadata import version

import django
import pymysql
from django.conf import settings

pymysql.install_as_MySQLdb()
settings.configure(
    DATABASES={"default": {
        "ENGINE": "django.db.backends.mysql", "HOST": "127.0.0.1", "PORT": os.environ["RECIPE_PORT"],
        "NAME": "shop", "USER": "root", "OPTIONS": {"charset": "utf8mb4"},
    }},
    DEFAULT_AUTO_FIELD="django.db.models.AutoField",
)
django.setup()

from django.db import models

# docs: from here
from urllib.parse import quote

from django.db import connection

WRITES = ("INSERT ", "UPDATE ", "DELETE ", "REPLACE ")


def tag(*keys):
    """Names keys in every write of a with block."""
    comment = "/* mc: " + " ".join(quote(key) for key in keys) + " */"

    def wrapper(execute, sql, params, many, context):
        if sql.startswith(WRITES):
            verb, rest = sql.split(" ", 1)
            # With parameters the driver takes % for its own.
            mark = comment if params is None else comment.replace("%", "%%")
            sql = f"{verb} {mark} {rest}"
        return execute(sql, params, many, context)

    return connection.execute_wrapper(wrapper)
# docs: to here


class User(models.Model):
    name = models.CharField(max_length=200)
    email = models.CharField(max_length=200)

    class Meta:
        app_label = "shop"
        db_table = "users"
        managed = False


# docs: from here
with tag("user:1", "user:1:friends"):
    User.objects.filter(pk=1).update(name="Grace /* mc: forged */")
# docs: to here

email = r"d'arcy,100%*/\@example.com"
with tag("users:newest", f"user_by_email:{email}"):
    user = User.objects.create(name="Ada", email=email)
with tag(f"user:{user.pk}", f"user_by_email:{email}"):
    user.delete()

print(f"Django\t{django.__version__}\nPyMySQL\t{version('PyMySQL')}\nPython\t{sys.version.split()[0]}")
