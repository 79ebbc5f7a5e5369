# Prints cookies of Rails and Devise as a JSON list of cases for tests/legacy_cookies.rs.
#
# Usage: ruby rails_cookies.rb, with Debian's packages ruby-rails or its parts, ruby-devise and ruby-sqlite3
#
# The applications are those of Rails 6.1. With load_defaults 7.0, Rails derives its keys by HMAC-SHA-256 and changes nothing
# else about cookies. The applications of the form of Rails 7 have such a key generator in place of that of Rails 6.1.

require "action_controller/railtie"
require "active_record"
require "devise"
require "json"
require "rack/mock"

SECRET = "1f6c3a90b7d84e259e0d7c5b3a1f8e6d4c2b0a9f8e7d6c5bc4b1a7e39d205f68d07c52e1a9438bf6"
OLD_SECRET = "e8d7c6b5a4f3029187065f4e3d2c1b0a73f5b2e9d4c1a860c92b4d6f1e80a357"

# Derives keys as Rails does under the defaults of 7.0.
class Sha256KeyGenerator
  def initialize(secret)
    @secret = secret
  end

  def generate_key(salt, length = 64)
    OpenSSL::KDF.pbkdf2_hmac(@secret, salt: salt, iterations: 1000, length: length, hash: "SHA256")
  end
end

# An application and its cookies. Rails has one application for each process, so each of these runs in a child.
class Site
  attr_reader :user

  def initialize(secret: SECRET, form: 6, serializer: :json, digest: nil, purposes: true, authenticated: true)
    @secret = secret
    application = Class.new(Rails::Application) do
      def self.name = "Legacy::Application"
    end
    application.class_eval { define_method(:key_generator) { @generator ||= Sha256KeyGenerator.new(secret) } } if form == 7
    config = application.config
    config.load_defaults 6.1
    config.eager_load = false
    config.hosts.clear
    config.logger = Logger.new(nil)
    config.secret_key_base = secret
    config.session_store :cookie_store, key: "_legacy_session"
    config.action_dispatch.cookies_serializer = serializer
    config.action_dispatch.use_cookies_with_metadata = purposes
    config.action_dispatch.use_authenticated_cookie_encryption = authenticated
    config.action_dispatch.signed_cookie_digest = digest if digest
    prepare_devise
    prepare_controllers
    application.initialize!
    application.routes.draw do
      devise_for :users
      get "read", to: "pages#read"
      get "write", to: "pages#write"
    end
    # Devise does this when Rails has read the file of routes, which this application does not have.
    Devise.class_variable_set(:@@warden_configured, nil)
    Devise.configure_warden!
    @application = application
    @user = User.create!(email: "ada@example.com", password: "correct horse battery")
  end

  # The value of a cookie that a request sets, as browsers send it.
  def cookie(name, path, cookies: {})
    header = cookies.map { |pair| pair.join("=") }.join("; ")
    answer = Rack::MockRequest.new(@application).get(path, "HTTP_COOKIE" => header)
    raise "#{path}: #{answer.status} #{answer.errors}" if answer.status >= 400
    line = answer["Set-Cookie"].to_s.lines.find { |line| line.start_with?("#{name}=") }
    line && line.chomp[/=([^;]*)/, 1]
  end

  def sign_in
    cookie("_legacy_session", "/write?sign_in=1")
  end

  # The user that Rails itself finds in a session.
  def known(session)
    answer = Rack::MockRequest.new(@application).get("/read", "HTTP_COOKIE" => "_legacy_session=#{session}")
    answer.body
  end

  def case(name, cookie, expect, cookie_name: "_legacy_session", secrets: [@secret], settings: {}, tied: true, **more)
    password = tied ? { password_hash: @user.encrypted_password, tied: true } : {}
    settings = { kind: "rails", secrets: secrets, cookie: cookie_name, **settings }
    { name: name, settings: settings, cookie: cookie, now: Time.now.to_i, expect: expect, **password, **more }
  end

  def good(name, cookie, user = @user.id.to_s, times: {}, **more)
    self.case(name, cookie, { user: { id: user }, issued_at: nil, expires_at: nil, **times }, **more)
  end

  private

  def prepare_devise
    Devise.setup do |config|
      require "devise/orm/active_record"
      config.stretches = 4
      config.secret_key = @secret
    end
    ActiveRecord::Base.establish_connection(adapter: "sqlite3", database: ":memory:")
    ActiveRecord::Schema.verbose = false
    ActiveRecord::Schema.define do
      create_table(:users) do |table|
        table.string :email
        table.string :encrypted_password
        table.datetime :remember_created_at
      end
    end
    Object.const_set(:User, Class.new(ActiveRecord::Base) do
      def self.name = "User"
      extend Devise::Models
      devise :database_authenticatable, :rememberable
    end)
    # So that no case works by a first row alone.
    ActiveRecord::Base.connection.execute("insert into users (id, email) values (41, 'bob@example.com')")
  end

  def prepare_controllers
    Object.const_set(:ApplicationController, Class.new(ActionController::Base) { def self.name = "ApplicationController" })
    Object.const_set(:PagesController, Class.new(ApplicationController) do
      def self.name = "PagesController"

      def read
        render plain: current_user&.id.inspect
      end

      include Devise::Controllers::Rememberable

      def write
        sign_in(User.last) if params[:sign_in]
        remember_me(User.last) if params[:remember]
        session[:theme] = params[:theme] if params[:theme]
        session[:user_id] = params[:user_id].to_i if params[:user_id]
        session["warden.user.user.key"] = [[7], ""] if params[:without_password]
        cookies.signed[:user_id] = { value: params[:signed].to_i, expires: params[:hours]&.to_i&.hours } if params[:signed]
        cookies.encrypted[:other] = { "warden.user.user.key" => [[1], "$2a$04$"] } if params[:other]
        render plain: "written"
      end
    end)
  end
end

def cases_of_form(form)
  site = Site.new(form: form)
  name = "rails #{form}"
  session = site.sign_in
  raise "Rails does not know the user" unless site.known(session) == site.user.id.to_s
  again = site.cookie("_legacy_session", "/write?theme=dark", cookies: { "_legacy_session" => session })
  plain = site.cookie("_legacy_session", "/write?user_id=7")
  signed = site.cookie("user_id", "/write?signed=7")
  aged = site.cookie("user_id", "/write?signed=7&hours=2")
  without_password = site.cookie("_legacy_session", "/write?without_password=1")
  remember = site.cookie("remember_user_token", "/write?remember=1")
  envelope = JSON.parse(Base64.strict_decode64(Rack::Utils.unescape(remember).split("--").first))["_rails"]
  remembered = { issued_at: JSON.parse(Base64.strict_decode64(envelope["message"]))[2].to_i, expires_at: Time.iso8601(envelope["exp"]).to_i }
  aged_envelope = JSON.parse(Base64.strict_decode64(Rack::Utils.unescape(aged).split("--").first))["_rails"]
  plain_key = { tied: false, settings: { user_key: "user_id" } }
  [
    site.good("#{name}: Devise", session),
    site.good("#{name}: Devise, changed session", again, same_session_as: "#{name}: Devise"),
    site.good("#{name}: fallback", session, secrets: [OLD_SECRET, SECRET], same_session_as: "#{name}: Devise"),
    site.case("#{name}: another secret", session, "bad_signature", secrets: [OLD_SECRET]),
    site.case("#{name}: another cookie", session, "wrong_purpose", cookie_name: "_other_session"),
    site.case("#{name}: changed password", session, "password_changed").merge(password_hash: "$2a$04$" + "x" * 53),
    site.good("#{name}: plain key", plain, "7", **plain_key),
    site.case("#{name}: plain key that is not configured", plain, "no_user"),
    site.case("#{name}: no password", without_password, "no_auth_hash").merge(password_hash: ""),
    site.good("#{name}: signed", signed, "7", cookie_name: "user_id", **plain_key),
    site.good("#{name}: signed, two hours", aged, "7", cookie_name: "user_id", **plain_key,
              times: { expires_at: Time.iso8601(aged_envelope["exp"]).to_i }),
    site.case("#{name}: signed, as the session", signed, "wrong_purpose", tied: false),
    site.good("#{name}: Devise remembers", remember, cookie_name: "remember_user_token", times: remembered),
  ]
end

def other_serializer(serializer)
  site = Site.new(serializer: serializer)
  signed = site.cookie("user_id", "/write?signed=7")
  plain_key = { cookie_name: "user_id", tied: false, settings: { user_key: "user_id" } }
  [
    site.case("rails: #{serializer}", site.sign_in, "unsupported_serializer"),
    site.case("rails: #{serializer}, signed", signed, "unsupported_serializer", **plain_key),
  ]
end

def hybrid
  site = Site.new(serializer: :hybrid)
  [site.good("rails: hybrid", site.sign_in)]
end

def sha256_signature
  site = Site.new(form: 7, digest: "SHA256")
  plain_key = { cookie_name: "user_id", tied: false, settings: { user_key: "user_id" } }
  [site.good("rails 7: signed by SHA-256", site.cookie("user_id", "/write?signed=7"), "7", **plain_key)]
end

def without_purpose
  site = Site.new(purposes: false)
  session = site.sign_in
  [
    site.case("rails: no purpose", session, "wrong_purpose"),
    site.good("rails: no purpose, allowed", session, settings: { allow_missing_purpose: true }),
  ]
end

def cbc
  site = Site.new(authenticated: false)
  [site.case("rails: AES-CBC of Rails 5.1", site.sign_in, "bad_signature")]
end

def in_child
  reader, writer = IO.pipe
  child = fork do
    reader.close
    writer.write(JSON.generate(yield))
    writer.close
    exit!(0)
  end
  writer.close
  cases = reader.read
  Process.wait(child)
  raise "a child failed" unless $?.success?
  JSON.parse(cases)
end

if $PROGRAM_NAME == __FILE__
  cases = [
    in_child { cases_of_form(6) },
    in_child { cases_of_form(7) },
    in_child { other_serializer(:marshal) },
    in_child { hybrid },
    in_child { sha256_signature },
    in_child { without_purpose },
    in_child { cbc },
  ]
  puts JSON.pretty_generate(cases.flatten)
end
