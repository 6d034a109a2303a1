import jakarta.persistence.*;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.stream.Collectors;
import org.hibernate.SessionFactory;
import org.hibernate.cfg.Configuration;

public class EntityRecipe {
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
    /** Names keys in every write that this thread sends: flush before the block ends. */
    public static class Tag implements org.hibernate.resource.jdbc.spi.StatementInspector {
        private static final ThreadLocal<String> MARK = new ThreadLocal<>();

        public static void with(Runnable writes, String... keys) {
            MARK.set("/* mc: " + Arrays.stream(keys)
                .map(key -> URLEncoder.encode(key, StandardCharsets.UTF_8))
                .collect(Collectors.joining(" ")) + " */");
            try {
                writes.run();
            } finally {
                MARK.remove();
            }
        }

        @Override
        public String inspect(String sql) {
            String mark = MARK.get();
            return mark == null ? sql : sql.replaceFirst("^(insert|update|delete) ", "$1 " + mark + " ");
        }
    }

    // docs: to here

    static final String EMAIL = "d'arcy,100%*/\\@example.com";

    public static void main(String[] args) throws Exception {
        java.util.logging.LogManager.getLogManager().reset();
        var server = System.getenv("RECIPE_SERVER");
        var configuration = new Configuration().addAnnotatedClass(User.class)
            // docs: from here
            .setProperty("hibernate.session_factory.statement_inspector", Tag.class.getName())
            // docs: to here
            .setProperty("hibernate.connection.url", "jdbc:" + server + "://127.0.0.1:" + System.getenv("RECIPE_PORT") + "/shop")
            .setProperty("hibernate.connection.username", "root");
        try (SessionFactory sessions = configuration.buildSessionFactory()) {
            // docs: from here
            Tag.with(() -> sessions.inTransaction(session ->
                session.find(User.class, 1).name = "Grace /* mc: forged */"
            ), "user:1", "user:1:friends");
            // docs: to here
            var user = new User();
            user.name = "Ada";
            user.email = EMAIL;
            Tag.with(() -> sessions.inTransaction(session -> session.persist(user)), "users:newest", "user_by_email:" + EMAIL);
            Tag.with(() -> sessions.inTransaction(session -> session.remove(session.find(User.class, user.id))),
                "user:" + user.id, "user_by_email:" + EMAIL);
            sessions.inSession(session -> session.doWork(connection -> System.out.println(
                connection.getMetaData().getDriverName() + "\t"
                    + connection.getMetaData().getDriverVersion().replaceAll("^[a-z-]*| .*", ""))));
        }
        System.out.println("Hibernate\t" + org.hibernate.Version.getVersionString().replace(".Final", "") + "\nJava\t" + Runtime.version());
    }
}
