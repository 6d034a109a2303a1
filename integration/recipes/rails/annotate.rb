require_relative "shop"

# docs: from here
def tag(*keys)
  "mc: " + keys.map { |key| ERB::Util.url_encode(key) }.join(" ")
end

User.where(id: 1).annotate(tag("user:1", "user:1:friends"))
    .update_all(name: "Grace /* mc: forged */")
# docs: to here

user = User.annotate(tag("users:newest", "user_by_email:#{EMAIL}")).create!(name: "Ada", email: EMAIL)
User.where(id: user.id).annotate(tag("user:#{user.id}", "user_by_email:#{EMAIL}")).delete_all
