import jakarta.persistence.*;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.stream.Collectors;
import org.hibernate.SessionFactory;
import org.hibernate.cfg.Configuration;

public class QueryRecipe {
    @Entity(name = "User")
    @Table(name = "users")
    public static class User {
        @Id
        @GeneratedValue(strategy = GenerationType.IDENTITY)
        public Integer id;
        public String name;
        public String email;
    }

    // docs: from here
    /** The comment that names keys: for setComment, with hibernate.use_sql_comments=true. */
    static String tag(String... keys) {
        return "mc: " + Arrays.stream(keys)
            .map(key -> URLEncoder.encode(key, StandardCharsets.UTF_8))
            .collect(Collectors.joining(" "));
    }

    // docs: to here

    static final String EMAIL = "d'arcy,100%*/\\@example.com";

    public static void main(String[] args) throws Exception {
        java.util.logging.LogManager.getLogManager().reset();
        var server = System.getenv("RECIPE_SERVER");
        var configuration = new Configuration().addAnnotatedClass(User.class)
            .setProperty("hibernate.use_sql_comments", "true")
            .setProperty("hibernate.connection.url", "jdbc:" + server + "://127.0.0.1:" + System.getenv("RECIPE_PORT")
                + "/shop?useServerPrepStmts=true")
            .setProperty("hibernate.connection.username", "root");
        try (SessionFactory sessions = configuration.buildSessionFactory()) {
            // docs: from here
            sessions.inTransaction(session -> session
                .createMutationQuery("update User set name = :name where id = :id")
                .setComment(tag("user:1", "user:1:friends"))
                .setParameter("name", "Grace /* mc: forged */").setParameter("id", 1)
                .executeUpdate());
            // docs: to here
            sessions.inTransaction(session -> session
                .createMutationQuery("insert into User (name, email) values (:name, :email)")
                .setComment(tag("users:newest", "user_by_email:" + EMAIL))
                .setParameter("name", "Ada").setParameter("email", EMAIL)
                .executeUpdate());
            sessions.inTransaction(session -> session
                .createMutationQuery("delete from User where id = :id")
                .setComment(tag("user:2", "user_by_email:" + EMAIL))
                .setParameter("id", 2)
                .executeUpdate());
            sessions.inSession(session -> session.doWork(connection -> System.out.println(
                connection.getMetaData().getDriverName() + "\t"
                    + connection.getMetaData().getDriverVersion().replaceAll("^[a-z-]*| .*", ""))));
        }
        System.out.println("Hibernate\t" + org.hibernate.Version.getVersionString().replace(".Final", "") + "\nJava\t" + Runtime.version());
    }
}
