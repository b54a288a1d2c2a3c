"""The kinds of secrets that `redact` knows, each in words of real programs, and what must stay."""

# ruff: noqa: E501  the texts are as programs write them
import random
import re
import string

import pytest

from pushover_logging.rendering.redaction import Redaction, names_secret

LETTERS = string.ascii_letters + string.digits
ALPHABETS = {
    "word": LETTERS,
    "url": f"{LETTERS}-_",
    "base64": f"{LETTERS}+/",
    "upper": "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567",
    "hex": "0123456789abcdef",
    "letters": string.ascii_letters,
    "digits": string.digits,
    "odd": f"{LETTERS}/@#",
    "marks": f"{LETTERS}!$%*^,;)",
}
# {kind length} stands for a secret that is made up when the test runs; {} for a word of 14.
SHAPES = r"""
boto3: The AWS Access Key Id AKIA{upper 16} you provided does not exist in our records.
ExpiredToken for ASIA{upper 16}
Incorrect API key provided: sk-{word 48}. You can find your API key at https://platform.openai.com
invalid x-api-key sk-ant-api03-{url 93}AA
401 from api.openai.com with sk-proj-{url 60}
stripe.error.AuthenticationError: Invalid API Key provided: sk_live_{word 24}
Expired API Key provided: rk_live_{word 99}
No such webhook for whsec_{word 32}
remote: Invalid username or password for ghp_{word 36}
gho_{word 36} was revoked
installation ghs_{word 36} expired
user-to-server ghu_{word 36} expired
Bad credentials (github_pat_{word 22}_{word 59})
HTTP Basic: Access denied, glpat-{url 20}
slack_sdk: invalid_auth xoxb-{digits 12}-{digits 12}-{word 24}
slack: not_authed xoxp-{digits 11}-{digits 11}-{digits 12}-{hex 32}
socket mode xapp-1-A{upper 10}-{digits 13}-{hex 64}
POST /bot123456:{url 35}/sendMessage
stripe: sk_live_{hex 16}
sendgrid: 401 SG.{url 22}.{url 43}
huggingface_hub: Invalid user hf_{letters 34}
npm ERR! 403 npm_{word 36}
twine upload -u __token__ failed with pypi-AgEIcHlwaS5vcmc{url 100}
googlemaps: REQUEST_DENIED AIza{url 35}
invalid_grant ya29.{url 120}
hvac.exceptions.Forbidden: hvs.{url 95}
telegram.error.Unauthorized: {digits 10}:AA{url 33}
discord.errors.LoginFailure: M{word 23}.{url 6}.{url 38}
verify eyJhbGciOiJIUzI1NiJ9.{url 60}.{url 43} failed
jwe eyJhbGciOiJkaXIifQ.{url 20}.{url 16}.{url 40}.{url 22} was not decrypted
could not load -----BEGIN RSA PRIVATE KEY-----\n{base64 64}\n{base64 64}\n-----END RSA PRIVATE KEY-----
"key": "-----BEGIN OPENSSH PRIVATE KEY-----\\n{base64 70}\\n-----END OPENSSH PRIVATE KEY-----\\n"
-----BEGIN EC PRIVATE KEY-----\n{base64 64}\n{base64 64}
-----BEGIN PGP PRIVATE KEY BLOCK-----\n\n{base64 64}\n=abcd\n-----END PGP PRIVATE KEY BLOCK-----
-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,{hex 32}\n\n{base64 64}
shopify: shpat_{hex 32}
digitalocean: dop_v1_{hex 64} is not authorised
grafana: glsa_{word 32}_{hex 8}
client GOCSPX-{url 28} is unknown
notion: 401 for secret_{word 43}
airtable: pat{word 14}.{hex 64} is not valid
hubspot: pat-na1-{hex 8}-{hex 4}-{hex 4}-{hex 4}-{hex 12}
mailchimp: {hex 32}-us12 was refused
jira: ATATT3xFfGF0{url 170}={hex 8}
unauthorized: dckr_pat_{url 27}
NRAK-{upper 27} is not a user key
fly: FlyV1 fm2_{base64 120} was refused
vault: s.{word 24} is no longer valid
mapbox: sk.eyJ{url 80}.{url 22}
AADSTS7000215: {word 3}8Q~{word 34} is not valid
client-key-data: LS0tLS1CRUdJTi{base64 80}
segments missing in eyJhbGciOiJIUzI1NiJ9.eyJ{url 50}
user 7: $2b$12${word 53}
user 8: pbkdf2_sha256$600000${word 22}${base64 43}=
"""
URLS = r"""
HTTPSConnectionPool(host='api.telegram.org', port=443): Max retries exceeded with url: /bot{digits 10}:AA{url 33}/sendMessage
404 for https://api.telegram.org/bot{digits 9}:{url 35}/getMe
no_service: https://hooks.slack.com/services/T{upper 8}/B{upper 8}/{word 24}
host='hooks.slack.com', url: /services/T{upper 8}/B{upper 10}/{word 24} (Caused by ...)
Unknown Webhook: https://discord.com/api/webhooks/{digits 18}/{url 68}
https://acme.webhook.office.com/webhookb2/{hex 8}-{hex 4}-{hex 4}-{hex 4}-{hex 12}@{hex 8}-{hex 4}-{hex 4}-{hex 4}-{hex 12}/IncomingWebhook/{hex 32}/{hex 8}-{hex 4}-{hex 4}-{hex 4}-{hex 12}
POST https://maker.ifttt.com/trigger/alarm/with/key/{url 43}
https://mattermost.example/hooks/{hex 26} was refused
apprise: tgram://{digits 9}:{url 35}/12315544 failed
discord://{digits 18}/{url 68}/ is not valid
slack://{word 9}/{word 9}/{word 24}/#ops
pover://{word 30}@{word 30}
GET /v1/report?key={word 20} 403
GET /callback?code={word 30}&state=x
https://host/x?a=1&auth={word 20}
https://api.openweathermap.org/data/2.5/weather?q=Bern&appid={hex 32}
https://shop.example/cb?shop=x&hmac={hex 64}
https://store.blob.core.windows.net/c/b?sv=2022&sig={url 44}%3D
https://s3.amazonaws.com/b/k?X-Amz-Signature={hex 64}&x=1
postgres://app:{}@db-7/orders
could not connect to postgresql://app:{odd 20}x@db-7:5432/orders
postgres://app:12/{}@db/orders
redis://:{}@cache:6379/0
amqp://guest:a/{word 12}@mq:5672//
mysql://root:a@{word 12}@db/shop
mongodb+srv://app:a#{word 12}@cluster0.abcde.mongodb.net/?retryWrites=true
https://user:{}@registry.example/@scope/name
sentry dsn https://{hex 32}@o1.ingest.sentry.io/5
https://{hex 32}:{hex 32}@sentry.example/2
/accounts/reset/MjA/{word 6}-{hex 32}/ failed
https://hooks.slack.com/triggers/T{upper 8}/{digits 13}/{hex 32}
429 for https://mainnet.infura.io/v3/{hex 32}
https://hc-ping.com/{hex 8}-{hex 4}-{hex 4}-{hex 4}-{hex 12}/fail
GET /x?jwt={url 40}&a=b
"""
NAMED = r"""
pass={}
DB_PASS={}
connect(pw={})
pw: {}
pin={digits 6}
pin: {digits 4}
{"otp": "{digits 6}"}
otp={digits 6} was refused
PIN {digits 4}
Der PIN ist {digits 6}
OTP code {digits 6} was not accepted
Your verification code is {digits 6}
one-time password {digits 3} {digits 3}
security code: {digits 3}
{"mfa_code": "{digits 6}"}
TOTP code {upper 8}2A is not valid
clave: {}
senha: {}
wachtwoord={}
lösenord: {}
PHPSESSID={word 26}
SAMLResponse={base64 60}
secret_access_key {base64 36}aB3x
wifi psk={}
psk: '{}'
encryption_key = {hex 64}
STRIPE_KEY={word 24}
'sendgrid_key': '{}'
ssh_key={base64 40}
Ocp-Apim-Subscription-Key: {hex 32}
{'Subscription-Key': '{hex 32}'}
"private_key_id": "{hex 40}"
{"client_secret": "{}", "a": 1}
cvv={digits 3}
{'creds': '{}'}
session={hex 32}
client_secret={}&grant_type=x
aws_secret_access_key = {base64 40}
AZURE_CLIENT_SECRET: {word 34}
authToken: {word 30}
accessToken='{}'
refresh_token={url 40}
Environment: {'DJANGO_SECRET_KEY': '{url 50}'}
apikey {'apikey': '{}'}
x-api-key: {hex 32}
Authorization: Bearer {url 40}
authorization=Basic {base64 24}
{'Authorization': 'token {hex 40}'}
(b'authorization', b'Bearer {url 40}')
Set-Cookie: sid={hex 32}; Path=/
headers=[('cookie', 'sid={hex 32}')]
os.environ["DB_PASSWORD"] = "{}"
bearer {word 24} is not valid
Key (api_token)=({hex 40}) already exists.
user.password: {}
password1={}
new_password={}
password_confirmation: "{}"
passphrase: {}
The token is {word 24}
token provided: {word 24}
salt={hex 32}
nonce={word 16}
{"nonce": "{hex 24}"}
password=A{marks 16}
'DB_PASSWORD_PROD': '{}'
"auth": "{base64 32}=="
sid: {hex 32}
Token {hex 40} is invalid or expired
Session key "{word 32}" not found
session cookie {word 40} is not valid
license key {upper 4}2-{upper 5}-{upper 5}-{upper 5}
login with password A!{word 8}$ failed
Authorization: Hawk id="dh37", ts="1353832234", mac="{base64 43}="
SMS to 7: "Your code is {digits 6}."
{digits 6} is your Google verification code
backup codes: {digits 8}, {digits 8}
"""
WRITINGS = r"""
FATAL: password "{}" was refused
ALTER USER bob PASSWORD '{}'
token "{}" is not known
"password" => "{}"
:password=>"{}", :name=>"ann"
password => {}
<password>{}</password>
<wsse:Password Type="PasswordText">{}</wsse:Password>
<user name="ann" password="{}"/>
<apiKey>{word 24}</apiKey>
user%3Dann%26password%3D{}%26x
%22password%22%3A%22{}%22
next=%252Flogin%253Fpassword%253D{}
{\"password\": \"{}\"}
"{\\\"password\\\": \\\"{}\\\"}"
{\\"user\\": \\"ann\\", \\"api_key\\": \\"{}\\"}
Passwort: {}
hasło: {}
haslo={}
Hasło={}
şifre={}
sifre={}
heslo: {}
credentials ann:{} were refused
login ann@example.com:{} failed
login:{} was refused
κωδικός: {}
la clave es {}
Das Passwort "{}" ist falsch
kennwort={}
mot de passe : {}
mot_de_passe={}
contraseña: {}
contraseña "{}" incorrecta
La contraseña = {}
密码：{}
密码为{}
"密码": "{}"
口令={}
1 validation error for Login\npassword\n  String should have at least 20 characters [type=string_too_short, input_value='{}', input_type=str]
1 validation error for Settings\ndb.api_key\n  Value error, no [type=value_error, input_value='{}', input_type=str]
1 validation error for Login password String should have at least 9 characters [type=x, input_value='{}', input_type=str]
{"error": "1 validation error for Login\\n  password\\n  String is short [type=x, input_value='{}', input_type=str]"}
[{'type': 'too_short', 'loc': ('body', 'password'), 'msg': 'no', 'input': '{}', 'ctx': {'a': 1}}]
{"detail":[{"type":"x","loc":["body","pin"],"msg":"no","input":"{digits 6}"}]}
[SQL: INSERT INTO users (name, password) VALUES (?, ?)]\n[parameters: ('ann', '{}')]\n(Background on this error at: x)
[parameters: {'name': 'ann', 'pass': '{}'}]
[parameters: [('ann', '{}'), ('bob', 'x')  ... displaying 10 of 500 total bound parameter sets ...]]
DETAIL:  Failing row contains (1, ann, {}, null).
[('user', 'ann'), ('password', '{}')]
requests.get(url, auth=('ann', '{}'))
smtp.login('ann@example.com', '{}')
BasicAuth(login="ann", password="{}")
HTTPBasicAuth('ann', '{}')
Authorization: Digest username="ann", realm="x", response="{hex 32}"
send: 'AUTH PLAIN {base64 24}'
Basic {base64 24}x7== was refused
CREATE USER 'app'@'%' IDENTIFIED BY '{}'
alter user scott identified by {}
SET PASSWORD FOR 'app' = PASSWORD('{}')
CREATE LOGIN app WITH PASSWORD = N'{}'
PRAGMA key = '{}'
jdbc:oracle:thin:scott/{}@//db-7:1521/orders
cx_Oracle: scott/{}@db-7:1521/orders was refused
Server=db-7;Uid=sa;Pwd={};
password={'value': '{}'}
login with password {}
password -> {}
password=**{}
password for ann: {}
Passwort für ann: {}
mot de passe « {} »
&lt;password&gt;{}&lt;/password&gt;
<input name="password" value="{}">
\\u0022password\\u0022:\\u0022{}\\u0022
SecretStr token=SecretStr('{}')
- name: DB_PASSWORD\n  value: {}
{"name": "DB_PASSWORD", "value": "{}"}
<param><name>password</name><value>{}</value></param>
Content-Disposition: form-data; name="password"\n\n{}\n--b--
password: >-\n  {}\nport: 5432
password: str = '{}'
  + master_password             = "{}" -> null
password = '''{}'''
&quot;password&quot;: &quot;{}&quot;
payload=%7B%22token%22%3A+%22{word 24}%22%7D
"api_keys": ["{}", "{}"]
'credentials': {'user': 'ann', 'key': '{}'}
password: Some("{}")
 password | {}
argument --token: invalid choice: '{}'
INSERT INTO users (name, password) VALUES ('ann', '{}')
(1062, "Duplicate entry '{hex 40}' for key 'tokens.token'")
UID=sa;PWD={{};{}};Encrypt=yes
On instance['password']:\n    '{}'
Пароль = {}
パスワードは {} です
La contraseña de ann es {}
Passwort falsch: '{}'
"""
COMMANDS = r"""
mysqldump -u root -p{} shop
Command '['mysqldump', '-uroot', '-p{}', 'shop']' returned non-zero exit status 2.
mysql -h db -p'{}' -e 'select 1'
mariadb-dump --user root -p{} shop
curl -u ann:{} https://host/x
['curl', '-u', 'ann:{}', 'https://host']
curl --user ann:{} https://host/x
sshpass -p {} ssh host
['sshpass', '-p', '{}', 'ssh', 'host']
sshpass -p'{}' ssh host
redis-cli -h cache -a {} ping
['redis-cli', '-a', '{}', 'ping']
docker login -u ann -p {} registry.example
mongodump --host db -u app -p {}
["docker", "login", "-u", "ann", "-p", "{}"]
['tool', '--password', '{}']
tool --api-key {} --verbose
tool --db-password={} --verbose
keytool -storepass {} -list
zip -r -P {} out.zip data
['unzip', '-P', '{}', 'a.zip']
7z a -p{} out.7z data
Command '['7z', 'x', '-p{}', 'a.7z']' returned non-zero exit status 2.
rar a -hp{} out.rar data
ldapsearch -x -D cn=admin -w {} -b dc=example
smbclient //nas/share -U ann%{}
['smbclient', '-U', 'ann%{}', '//nas/share']
htpasswd -b /etc/passwords ann {}
['htpasswd', '-nb', 'ann', '{}']
sqlplus -S scott/{}@db-7
expdp system/{} directory=d
curl --proxy-user ann:{} https://host
lftp -u ann,{} host
plink -ssh ann@host -pw {} ls
ssh-keygen -t ed25519 -N {} -f key
snmpget -v 3 -u ann -A {} -X {} host
ipmitool -I lanplus -H bmc -U ann -P {} power
bcp orders in f -U sa -P {}
psexec \\host -u ann -p {} cmd
az login --service-principal -u app -p {} --tenant t
openssl enc -aes-256-cbc -k {} -in f
xfreerdp /u:ann /p:{} /v:host
rabbitmqctl add_user ann {}
wpa_passphrase ssid {}
net user ann {} /add
echo 'root:{}' | chpasswd
kubectl create secret generic a --from-literal=b={}
useradd -m -p {} ann
PGPASSWORD={} psql -h db
kinit ann@EXAMPLE.COM {}
['kinit', 'ann', '{}']
openssl rsa -passin pass:{}
gh auth login --with-token <<< {word 40}
smbclient -U 'DOM/ann%{}' //nas/share
echo {} | docker login -u ann --password-stdin
"""
STAYS = r"""
fields: ['password', 'email', 'age']
missing: ["token", "user_id"]
('password', 'email')
Access denied for user 'root'@'localhost' (using password: NO)
Access denied for user 'root'@'localhost' (using password: YES)
password: must have eight characters
password: This field is required.
{"password": ["This password is too short."]}
{'password': ['This field may not be blank.']}
Unexpected next token: identifier
next token at line 12
nextToken=12
passwd: user ann does not exist
passwd: ann
passwd: unknown user deploy
passwd: Authentication token manipulation error
password=None
{"token": null, "password": null}
password=**********
SecretStr('**********')
the password is incorrect
password expired 12 days ago
Wrong password for user ann
docker run -u 1000:1000 -p 8080:80 nginx
ssh -p 2222 host
chown -u www
duplicate key value violates unique constraint "users_email_key"
KeyError: 'api_key'
primary_key=5
cache_key=user:5
no such key: order-12345
UNIQUE constraint failed: tokens.id
PASS: test_checkout_12
pass=5 fail=2
pin 17 is in use
pin: 17 is in use
HTTP 404 for https://host/search?q=a&code=404
exit code=2
shipping: order 4242424242424241 is late
2026-11-29 17:30:33,123456 ERROR
sha256 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 differs
id 123e4567-e89b-12d3-a456-426614174000 is unknown
took 1764437433123 ms at 1764437433123456789
ssh://deploy@host:22/srv/app@2
http://web-1:8080/@ann/x
http://[::1]:8080/@ann/x
pip install sk-learn-contrib-package-of-ann
npm_config_registry is not set
hf_hub_download failed
from akia import asia
File "/srv/webhooks/handlers.py", line 5
GET /hooks/pre-commit 404
Bearer authentication required
author: Ann, authority: none
card 4242 4242 4242 4241 is no card
session closed: timeout
signature mismatch: expected 3 arguments
token: invalid
Invalid token: 'return'
credentials: missing
tokens: 512, max_tokens=100
['authorization', 'content-type']
--password is required
mysql: [Warning] Using a password on the command line interface can be insecure.
chpasswd: line 3: user bob does not exist
Authorization: required
password = getpass()
password={password}
TypeError: login() missing 1 required positional argument: 'password'
column "password" does not exist
Missing fields: password, email
tracking 9400111899223197428490
https://example.com/webhooks/stripe
2026-11-29 18:00:00 - shop - ERROR - failed
input_value='abc' under no secret
Kennwort falsch
密码错误
palabra clave: pedido
clave primaria duplicada
pin 4 of GPIO 17 is high
status code 4040
return code 12345
zip -r out.zip data
ldapsearch -p 389 -h db-7
mysql -u root -p shop
pg_dump -U ann -p 5432 shop
mkdir -p /srv/data
identified by its name
npm error in @scope/name@1.2.3 of shop/cart@2.0.1
docker.io/library/nginx@sha256:1234
SMTP AUTH extension not supported by server.
AUTH CRAM-MD5 is not supported
7z: unsupported method
compass: 128.5 degrees
nonce=17 is too low
nonce too low: next nonce 18
basalt=grey
credentials ann: no such user
credentials for ann:expired
credentials of /srv/Shop2/Ann.json:12 were not read
login ann:tty1 from 10.0.0.7
login: ann on pts/4
login:2026-11-30T00:11:36Z
Last login: Mon Nov 30 00:11:36 2026 from 10.0.0.7
kinit: Client 'ann@EXAMPLE.COM' not found in Kerberos database
kinit -kt /etc/krb5.keytab host/db7.example.com
kinit ann@EXAMPLE.COM failed after 12000000 us
le chiffre est 12
    login(user, password=cfg.password)
    token = request.headers["X-Token"]
    token = jwt.encode(payload, key, algorithm="HS256")
    api_key = os.getenv("API_KEY")
    def login(self, user: str, password: str) -> Token:
    password: str = Field(min_length=12)
    self.token = token
assert token == expected_token
token, value = get_address(value)
token=expired
passwords: 3 updated
option --token requires an argument
Passwort: zu kurz
basic plan2026 expired
key-value-store-adapter-v2 not found
sk-learn-contrib-2024-edition
GET /v1/users/5f2b0c4d9a1e4b0011223344/confirm/the-great-newsletter-of-the-year
cus_NffrFeUfNV2Hib and pi_3MtwBwLkdIwHu7ix28a3tqPa
message_authentication_code: None
INSERT INTO orders (id, note) VALUES (3, 'paid')
4821 is your order number
<a id="aes-keys" href="#generating-keys">Generating keys</a>
"""
TABLE = [
    line for text in (SHAPES, URLS, NAMED, WRITINGS, COMMANDS) for line in text.strip().splitlines()
]
KEPT = [line.replace(r"\n", "\n") for line in STAYS.strip().splitlines()]
PLACE = re.compile(r"\{(?:([a-z0-9]+) ([0-9]+))?\}")


def filled(template, rng):
    """Return a text and the secrets in it."""
    made = []

    def make(found):
        alphabet = ALPHABETS[found.group(1) or "word"]
        made.append("".join(rng.choices(alphabet, k=int(found.group(2) or 14))))
        if alphabet not in (ALPHABETS["digits"], ALPHABETS["letters"]):
            end = "a7" if alphabet == ALPHABETS["hex"] else "x7"
            made[-1] = f"{made[-1][:-2]}{end}" if alphabet != ALPHABETS["upper"] else made[-1]
        return made[-1]

    text = PLACE.sub(make, re.sub(r"(?<!\\)\\n", "\n", template))
    return text, [part for secret in made for part in re.split("[/@#,;)]", secret) if len(part) > 2]


def test_no_more_than_three_in_a_hundred_leak():
    """Whatever the secrets are; at least 150 texts are tried, each with three secrets."""
    seed = random.randrange(10**6)
    rng, hide = random.Random(seed), Redaction()
    leaked = []
    for template in TABLE * 3:
        text, made = filled(template, rng)
        hidden = hide(text)
        if any(part in hidden for part in made):
            leaked.append((text, hidden))
    assert len(TABLE) + len(KEPT) >= 190
    assert len(leaked) <= 0.03 * len(TABLE) * 3, (seed, leaked)


@pytest.mark.parametrize("text", KEPT)
def test_text_without_a_secret_stays(text):
    """Forty and more that only sound like it."""
    assert text == Redaction()(text)


@pytest.mark.parametrize("name", [
    *("pass", "pw", "pin", "otp", "psk", "cvv", "cvc", "creds", "session", "ssh_key", "stripe_key"),
    *("Subscription-Key", "private_key_id", "auth", "hmac", "appid", "db_password", "apiKey"),
    *("contraseña", "Passwort", "accessToken", "set-cookie"),
])  # fmt: skip
def test_field_of_such_a_name_is_hidden(name):
    """Whatever its value is."""
    assert names_secret(name)


@pytest.mark.parametrize("name", [
    *("code", "primary_key", "cache_key", "key", "passenger", "spin", "pinned", "tokens", "author"),
    *("session_count", "keyboard", "password_age", "next_token", "max_tokens"),
])  # fmt: skip
def test_field_of_another_name_is_shown(name):
    """Names that only begin or end like these."""
    assert not names_secret(name)
