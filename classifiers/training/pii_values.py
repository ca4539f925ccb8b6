"""Values for the slots of `pii` templates: Faker's names and addresses of many countries, and numbers with right check digits of our own."""

import re
import string

from faker import Faker

from pii_lists import BODIES, CITIES, IBAN_FORMS, INDUSTRIES, JOBS, MONTHS, NAMES, NATIONALITIES, PLACES, ROMANISED, TITLES


class Values:
    """Draws values; one object fills one template, so that what belongs together (a city and its country) may be drawn together."""

    fakers: dict = {}

    def __init__(self, rng, lang="en"):
        self.rng, self.lang = rng, lang
        local = {"de": ["de_DE", "de_AT", "de_CH"], "fr": ["fr_FR"], "es": ["es_ES", "es_MX"], "it": ["it_IT"], "pt": ["pt_PT", "pt_BR"], "nl": ["nl_NL", "nl_BE"], "pl": ["pl_PL"], "sv": ["sv_SE"], "tr": ["tr_TR"], "cs": ["cs_CZ"]}.get(lang)
        self.names = local if local and rng.random() < 0.8 else NAMES
        self.places = local if local and rng.random() < 0.8 else PLACES

    def faker(self, locales):
        locale = self.rng.choice(locales)
        if locale not in self.fakers:
            try:
                self.fakers[locale] = Faker(locale)
            except AttributeError:
                self.fakers[locale] = Faker("en_US")
        faker = self.fakers[locale]
        faker.seed_instance(self.rng.getrandbits(40))
        return faker

    def fake(self, locales, what):
        """What Faker makes up in one of the locales; in American English where it lacks that there."""
        maker = getattr(self.faker(locales), what, None) or getattr(self.faker(["en_US"]), what)
        return maker()

    def digits(self, count):
        return "".join(self.rng.choice(string.digits) for _ in range(count))

    def form(self, form):
        """# digit, A capital letter, a small letter, * letter or digit."""
        sets = {"#": string.digits, "A": string.ascii_uppercase, "a": string.ascii_lowercase, "*": string.ascii_uppercase + string.digits}
        return "".join(self.rng.choice(sets[char]) if char in sets else char for char in form)

    def pair(self):
        """(first, last)."""
        if self.names is NAMES and self.rng.random() < 0.3:
            last, first = self.rng.choice(list(ROMANISED.values()))
            return self.rng.choice(first), self.rng.choice(last)
        locale = [self.rng.choice(self.names)]
        return self.fake(locale, "first_name"), self.fake(locale, "last_name")

    def value(self, slot):
        slot = slot.removeprefix("!")
        method = getattr(self, slot.lower(), None)
        if method is None:
            raise KeyError(slot)
        return str(method())

    # People, organisations, places
    def person(self):
        first, last = self.pair()
        middle = self.rng.choice(string.ascii_uppercase) + "."
        return self.rng.choices((f"{first} {last}", f"{first} {middle} {last}", f"{last}, {first}", f"{first[0]}. {last}", f"{last.upper()} {first}", f"{first} {last}-{self.pair()[1]}"), (80, 6, 4, 4, 2, 4))[0]

    def first(self):
        return self.pair()[0]

    def last(self):
        return self.pair()[1]

    def title(self):
        return self.rng.choice(TITLES.get(self.lang, TITLES["en"]))

    def organization(self):
        if self.rng.random() < 0.45:
            return self.fake(self.places, "company")
        fields = {"city": self.city(), "first": self.first(), "last": self.last(), "last2": self.last(), "industry": self.rng.choice(INDUSTRIES), "country": self.country()}
        return self.rng.choice(BODIES).format(**fields)

    def city(self):
        return self.rng.choice(CITIES) if self.rng.random() < 0.6 else self.fake(self.places, "city")

    def country(self):
        return self.fake([self.lang_locale()], "country")

    def lang_locale(self):
        return {"de": "de_DE", "fr": "fr_FR", "es": "es_ES", "it": "it_IT", "pt": "pt_PT", "nl": "nl_NL", "pl": "pl_PL"}.get(self.lang, "en_US")

    def state(self):
        faker = self.faker(["en_US", "en_US", "en_AU", "de_DE", "en_IN"])
        return faker.state_abbr() if self.rng.random() < 0.3 and hasattr(faker, "state_abbr") else faker.state() if hasattr(faker, "state") else faker.city()

    region = state

    def nationality(self):
        return self.rng.choice(NATIONALITIES)

    def street(self):
        text = self.fake(self.places, "street_address").replace("\n", " ")
        return f"{text}, {self.rng.choice(('Apt', 'Flat', 'Unit', 'Suite'))} {self.rng.randint(1, 90)}" if self.rng.random() < 0.1 else text

    street_address = street

    def zip(self):
        return self.fake(self.places, "postcode")

    def address(self):
        return self.fake(self.places, "address").replace("\n", self.rng.choice((", ", ", ", " ")))

    def address_block(self):
        return self.fake(self.places, "address")

    # How to reach them
    def email(self):
        first, last = self.pair()
        plain = lambda text: "".join(char for char in text.lower() if char.isascii() and char.isalnum()) or "info"
        name = self.rng.choice((f"{plain(first)}.{plain(last)}", f"{plain(first)[0]}{plain(last)}", f"{plain(first)}{self.digits(2)}", f"{plain(last)}_{plain(first)}", "info", "accounts"))
        return f"{name}@{self.domain()}"

    def domain(self):
        word = self.rng.choice((self.faker(["en_US"]).word(), self.last().lower())).replace(" ", "")
        word = "".join(char for char in word if char.isascii() and char.isalnum()) or "example"
        return f"{self.rng.choice(('', '', 'www.', 'mail.'))}{word}{self.rng.choice(('', '-online', 'group', self.digits(1)))}.{self.rng.choice('com com com net org io co.uk de fr es it nl pl eu info in edu gov app dev'.split())}"

    def url(self):
        path = "/".join(self.faker(["en_US"]).words(self.rng.randint(0, 3)))
        return f"{self.rng.choice(('https://', 'https://', 'http://', ''))}{self.domain()}{'/' + path if path else ''}{self.rng.choice(('', '', '?id=' + self.digits(5), '/index.html'))}"

    def phone(self):
        if self.rng.random() < 0.6:
            return self.fake(self.places, "phone_number")
        return self.form(self.rng.choice(("+1 ###-###-####", "(###) ###-####", "###-###-####", "###.###.####", "+44 7### ######", "07### ### ###", "+49 ### #######", "0## ## ## ## ##", "+91 9#### #####", "+33 6 ## ## ## ##", "00## ## ### ####", "##########", "+##-##-####-####", "020 7### ####", "###-####", "+1-###-###-####x###")))

    def username(self):
        first, last = (part.lower().replace(" ", "") for part in self.pair())
        return self.rng.choice((f"@{first}{self.digits(2)}", f"{first}_{last}", f"{first}{self.digits(3)}", f"{last}.{first[0]}", f"xX{first}Xx", f"{first[0]}{last}", f"{self.faker(['en_US']).word()}{self.digits(4)}", f"@{last}_{first[:2]}", f"u/{first}{last}"))

    def ip(self):
        if self.rng.random() < 0.2:
            return self.faker(["en_US"]).ipv6()
        return ".".join(str(self.rng.randint(1, 254)) for _ in range(4))

    def mac(self):
        return self.faker(["en_US"]).mac_address()

    # Times
    def date(self, year=None, birth=False):
        day, month, year = self.rng.randint(1, 28), self.rng.randint(1, 12), year or self.rng.randint(1985, 2027)
        name = MONTHS[month - 1]
        suffix = {1: "st", 2: "nd", 3: "rd", 21: "st", 22: "nd", 23: "rd"}.get(day, "th")
        if self.lang == "en" and not birth and self.rng.random() < 0.12:
            return self.rng.choice(("Monday", "next Tuesday", "Friday", "last Sunday", "Wednesday morning", f"{name} {year}", f"{day}{suffix} of {name}", name, f"{day}{suffix}", f"the {day}{suffix}"))
        whole = (f"{day:02}/{month:02}/{year}", f"{month}/{day}/{year % 100:02}", f"{year}-{month:02}-{day:02}", f"{day}.{month}.{year}", f"{day:02}.{month:02}.{year}", f"{name} {day}, {year}", f"{day} {name} {year}", f"{name[:3]} {day}, {year}", f"{day} {name[:3]} {year}", f"{day:02}-{name[:3]}-{year}", f"{day}-{month}-{year}")
        return self.rng.choice(whole if birth else (*whole, f"{name} {day}{suffix}", f"{day} {name}"))

    def date_of_birth(self):
        return self.date(self.rng.randint(1930, 2014), birth=True)

    dob = date_of_birth

    def time(self):
        hour, minute = self.rng.randint(0, 23), self.rng.choice((0, 5, 10, 15, 20, 30, 40, 45, 50, 59))
        forms = (f"{hour:02}:{minute:02}", f"{hour % 12 + 1}:{minute:02} {self.rng.choice(('am', 'pm', 'AM', 'PM'))}", f"{hour % 12 + 1} {self.rng.choice(('am', 'pm'))}", f"{hour}h{minute:02}", f"{hour:02}:{minute:02}:{self.rng.randint(0, 59):02}")
        return self.rng.choices(forms, (50, 30, 12, 20 if self.lang == "fr" else 1, 4))[0]

    def age(self):
        return self.rng.choice((self.rng.randint(18, 75), self.rng.randint(18, 75), self.rng.randint(1, 17), self.rng.randint(60, 99)))

    # Numbers that open doors
    def luhn(self, body):
        total = sum(sum(divmod(int(digit) * (2 if index % 2 == 0 else 1), 10)) for index, digit in enumerate(reversed(body)))
        return body + str(-total % 10)

    def credit_card(self):
        number = self.luhn(self.rng.choice(("4", "51", "55", "2221", "6011", "35")) + self.digits(14))[:16] if self.rng.random() < 0.85 else self.luhn("37" + self.digits(12))
        number = self.luhn(number[:-1])
        groups = [number[at : at + 4] for at in range(0, len(number), 4)] if len(number) == 16 else [number[:4], number[4:10], number[10:]]
        return self.rng.choice(("", " ", " ", "-")).join(groups)

    def cvv(self):
        return self.digits(self.rng.choice((3, 3, 4)))

    def card_expiry(self):
        return f"{self.rng.randint(1, 12):02}/{self.rng.choice(('', '20'))}{self.rng.randint(25, 35)}"

    def iban(self):
        country = self.rng.choice(list(IBAN_FORMS))
        body, form = "", IBAN_FORMS[country]
        for kind, count in re.findall(r"([anc])(\d+)", form):
            body += {"n": self.digits, "a": lambda n: self.form("A" * n), "c": lambda n: self.form("*" * n)}[kind](int(count))
        check = 98 - int("".join(str(int(char, 36)) for char in body + country + "00")) % 97
        whole = f"{country}{check:02}{body}"
        return " ".join(whole[at : at + 4] for at in range(0, len(whole), 4)) if self.rng.random() < 0.5 else whole

    def swift(self):
        return self.form("AAAA") + self.rng.choice(list(IBAN_FORMS)) + self.form("**") + self.rng.choice(("", "XXX"))

    def bank_account(self):
        return self.form(self.rng.choice(("########", "##########", "############", "####-####-##", "###-######-#")))

    account_number = bank_account

    def routing_number(self):
        return self.form(self.rng.choice(("#########", "##-##-##", "######")))

    def ssn(self):
        area = self.rng.choice([n for n in (self.rng.randint(1, 899),) if n != 666] or [123])
        return f"{area:03}{(s := self.rng.choice('-- '))}{self.rng.randint(1, 99):02}{s}{self.rng.randint(1, 9999):04}"

    def passport(self):
        return self.form(self.rng.choice(("A########", "#########", "AA#######", "C##A##*##")))

    def driver_license(self):
        return self.form(self.rng.choice(("A#######", "A###-####-####", "AAAAA######AA#AA", "########", "AA-##-####", "A##-##-####")))

    def tax_id(self):
        return self.form(self.rng.choice(("##-#######", "DE#########", "## ### ### ###", "##########A", "AAAAA####A", "GB### #### ##", "########-A")))

    def national_id(self):
        return self.form(self.rng.choice(("AA ## ## ## A", "########A", "#### #### ####", "######-####", "###########", "#.##.##.##.###.###.##", "######/####", "AAAAAA##A##A###A")))

    def medical_id(self):
        return self.rng.choice(("", "", "MRN", "NHS ", "P-")) + self.form(self.rng.choice(("#######", "### ### ####", "########", "A#########", "##-####-##")))

    def password(self):
        word = self.faker(["en_US"]).word()
        return self.rng.choice((f"{word.title()}{self.digits(4)}!", self.form("aA#a*#aA") + self.rng.choice("!?#$%&"), f"{word}-{self.faker(['en_US']).word()}-{self.digits(2)}", f"{word}{self.rng.choice('@#$!')}{self.digits(3)}", self.faker(["en_US"]).password()))

    def pin(self):
        return self.digits(self.rng.choice((4, 4, 6)))

    def api_key(self):
        body = lambda count: "".join(self.rng.choice(string.ascii_letters + string.digits) for _ in range(count))
        return self.rng.choice((f"sk_live_{body(24)}", f"AKIA{self.form('*' * 16)}", f"ghp_{body(36)}", body(32), f"key-{body(20)}", f"xoxb-{self.digits(11)}-{body(24)}"))

    token = api_key

    def license_plate(self):
        return self.form(self.rng.choice(("AAA-####", "AA## AAA", "A-AA ####", "AA-###-AA", "### AAA", "AA ## AA ####", "####-AAA", "#AAA###")))

    def vin(self):
        return self.form("*" * 17).replace("I", "J").replace("O", "P").replace("Q", "R")

    # What looks like a value and is none
    def job(self):
        return self.rng.choice(JOBS)

    def order_id(self):
        return self.form(self.rng.choice(("#######", "ORD-######", "####-######", "PO##########", "A#-#####")))

    def version(self):
        return self.form(self.rng.choice(("#.#.#", "v#.##", "#.##.#-rc#", "20##.#", "#.#.#.#")))

    def isbn(self):
        return self.form(self.rng.choice(("978-#-##-######-#", "978##########", "#-####-####-#")))

    def hash(self):
        return "".join(self.rng.choice("0123456789abcdef") for _ in range(self.rng.choice((7, 8, 40))))

    commit = hash

    def sku(self):
        return self.form(self.rng.choice(("AA-####", "AAA-##-A", "SKU####A", "A##A##", "AA## ####-A")))

    model = sku

    def ticket(self):
        return self.form(self.rng.choice(("INC#######", "AAA-####", "#####", "REQ######")))

    invoice = tracking = order_id

    def amount(self):
        return self.rng.choice(("$", "€", "£", "")) + self.rng.choice((f"{self.rng.randint(1, 99999):,}.{self.digits(2)}", str(self.rng.randint(1, 9999)), f"{self.rng.randint(1, 99)},{self.digits(2)}"))

    price = amount

    def quantity(self):
        return self.rng.choice((str(self.rng.randint(1, 999)), f"{self.rng.randint(1, 99)},000"))

    def measure(self):
        return f"{self.rng.randint(1, 900)}{self.rng.choice((' mg', ' km', ' cm', 'kg', ' ml', ' GB', ' miles', ' V', ' mmHg'))}"

    def percent(self):
        return f"{self.rng.randint(0, 100)}{self.rng.choice(('', '.5'))}%"

    def flight(self):
        return self.form(self.rng.choice(("AA####", "AA ###", "A# ###")))

    def room(self):
        return self.form(self.rng.choice(("#.##", "A##", "###", "B-##")))

    def timestamp(self):
        return self.form("17########") if self.rng.random() < 0.5 else f"202{self.rng.randint(0, 6)}-{self.rng.randint(1, 12):02}-{self.rng.randint(1, 28):02}T{self.rng.randint(0, 23):02}:{self.rng.randint(0, 59):02}:{self.rng.randint(0, 59):02}Z"

    def coordinates(self):
        return f"{self.rng.uniform(-90, 90):.4f}, {self.rng.uniform(-180, 180):.4f}"

    def year(self):
        return self.rng.randint(1900, 2030)

    def product(self):
        return self.rng.choice(("Apollo", "Nimbus", "Falcon", "Delta", "Orion", "Pixel", "Quasar", "Vertex", "Zephyr", "Amber", "Hunter", "Mercury", "Sienna", "Lumen")) + self.rng.choice((" X", " 3", " Pro", " 500", " Mini", "", " Max"))

    def hex_color(self):
        return "#" + self.form("######")

    def uuid(self):
        return self.faker(["en_US"]).uuid4()
